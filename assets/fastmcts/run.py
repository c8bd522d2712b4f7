"""Runs a search on a checkpoint: from problems to simulations, with what the run cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assets.core.progress import bar
from assets.core.verifier import Answer, Outcome, Verifier
from assets.fastmcts.journal import Journal
from assets.fastmcts.search import Codec, Grader, Problem, Search, Settings, Simulation
from models.inference.engine import Engine

# How many answers both engines have under way by default; fewer problems than this leave some of them idle.
ENGINE_SLOTS = 256


@dataclass
class Occupancy:
    """The mean share of an engine's slots that were at work, over time."""

    slots: int
    busy: float = 0.0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        return self.busy / (self.slots * self.seconds) if self.seconds else 0.0

    def follow(self, search: Search, simulations: Iterator[Simulation]) -> Iterator[Simulation]:
        """Passes the simulations on; between two of them as many slots worked as when the second was finished."""
        before = time.perf_counter()
        for each in simulations:
            now = time.perf_counter()
            self.busy += (now - before) * (search.in_flight + 1)
            self.seconds += now - before
            yield each
            before = now


@dataclass(frozen=True)
class Searched:
    """What a search made, and its cost. `failed` names the problems without a tree, with the reason."""

    simulations: list[Simulation]
    failed: dict[str, str]
    occupancy: Occupancy

    def cost(self) -> dict[str, object]:
        """The budget ledger. Seconds and occupancy are of this process, the counts of the whole search."""
        made = self.simulations
        return {
            "simulations": len(made),
            "generated_tokens": sum(each.tokens for each in made),
            "recomputed_tokens": sum(each.prefix_tokens + each.prompt_tokens for each in made),
            "verifier_calls": len(made),
            "without_a_verdict": sum(each.outcome in ("timeout", "grader_error") for each in made),
            "generating_seconds": round(self.occupancy.seconds, 1),
            "slots": self.occupancy.slots,
            "mean_occupancy": round(self.occupancy.mean, 3),
        }


def run_search(
    engine: Engine, codec: Codec, problems: Sequence[Problem], settings: Settings, *, work: Path, label: str
) -> Searched:
    """Every tree to its budget; simulations that a killed run left in `work` are not made again. Raises EngineError."""
    occupancy = Occupancy(ENGINE_SLOTS)
    with graded() as grade:
        search = Search(problems, settings, codec, grade)
        journal = Journal(work / "simulations.jsonl")
        found = journal.read()
        search.replay(found)
        with bar(None, label=label, unit=" simulations") as advance:
            for each in journal.record(occupancy.follow(search, search.run(engine))):
                found.append(each)
                advance(f"{search.unfinished:,} of {len(problems):,} problems are left")
    return Searched([each for each in found if each.problem not in search.failed], search.failed, occupancy)


@contextmanager
def graded() -> Iterator[Grader]:
    """The verifier as a search asks it."""
    with Verifier() as verifier:

        def grade(problem: Problem, response: str, ended: bool) -> Outcome:
            answer = Answer(problem.question, problem.gold, response, ended)
            return verifier.grade([answer], problem.kind)[0].outcome

        yield grade
