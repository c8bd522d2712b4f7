"""Many trees in flight over one engine.

Each tree has at most one simulation under way, so that a choice always sees the verdicts of all simulations before it
(no virtual loss). A simulation's noise is drawn from the run's seed, its problem and its number: which trees share the
engine, in which order answers come back, and whether the run was killed in between changes none of them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from assets.core.verifier import Kind, Outcome
from assets.fastmcts.tree import Rule, Step, Tree
from models.inference.engine import Completion, Engine, Failed, Request, Sampling


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with its gold answer; `kind` is the verifier's rule. `budget` is in generated tokens."""

    id: str
    question: str
    gold: str
    kind: Kind
    budget: int


@dataclass(frozen=True, slots=True)
class Shot:
    """A solved example that a prompted model reads before the question."""

    id: str
    question: str
    solution: str


@dataclass(frozen=True)
class Settings:
    """What determines the simulations beside model and problems. Lengths are in tokens.

    A tree grows until its problem's budget is spent (the last simulation may go over it) or, with `iterations`, for so
    many simulations whatever they cost. `n_shots` of `shots` are drawn anew for every simulation.
    """

    rule: Rule
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    iterations: int | None = None
    seed: int = 0
    n_shots: int = 0
    shots: tuple[Shot, ...] = ()


@dataclass(frozen=True, slots=True)
class Simulation:
    """One answer from a node to its end: the steps generated, and the verdict on the whole answer.

    `prefix_tokens` of the answer were reused from the tree, and `prompt_tokens` stand before it: an engine without a
    prefix cache computes both again.
    """

    problem: str
    iteration: int
    start: int
    leaf: int
    steps: tuple[Step, ...]
    ended: bool
    outcome: Outcome
    prefix_tokens: int
    prompt_tokens: int
    shots: tuple[str, ...]
    response: str

    @property
    def won(self) -> bool:
        return self.outcome == "right"

    @property
    def tokens(self) -> int:
        """Generated tokens: what a budget counts."""
        return sum(map(len, self.steps))


class Codec(Protocol):
    """Between text and the token ids of the generator."""

    def prompt(self, question: str, shots: Sequence[Shot]) -> tuple[int, ...]:
        """The tokens after which the model writes its answer."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """An answer's text, without special tokens."""
        ...

    def steps(self, tokens: Sequence[int]) -> list[Step]:
        """The tokens in steps."""
        ...


# The verdict on a whole answer: its text, and whether it ended by itself.
Grader = Callable[[Problem, str, bool], Outcome]


class _Growing:
    """A problem's tree, and what is under way in it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.tree = Tree()
        self.iteration = 0
        self.tokens = 0
        self.start = 0
        self.prompt_tokens = 0
        self.shots: Sequence[Shot] = ()

    def is_finished(self, settings: Settings) -> bool:
        if settings.iterations is not None:
            return self.iteration >= settings.iterations
        return self.tokens >= self.problem.budget

    def grow(self, start: int, steps: Sequence[Step], won: bool, rule: Rule) -> int:
        leaf = self.tree.add(start, steps, won, self.iteration, rule)
        self.iteration += 1
        self.tokens += sum(map(len, steps))
        return leaf


class Search:
    """The trees of all problems. `failed` names the problems that the engine refused, with its reason; `in_flight` and
    `unfinished` count simulations and trees while it runs."""

    def __init__(self, problems: Sequence[Problem], settings: Settings, codec: Codec, grade: Grader) -> None:
        self._settings, self._codec, self._grade = settings, codec, grade
        self._trees = {problem.id: _Growing(problem) for problem in problems}
        self.in_flight = 0
        self.failed: dict[str, str] = {}
        self.unfinished = len(problems)

    def replay(self, simulations: Sequence[Simulation]) -> None:
        """Takes up the simulations of a run that was killed, in the order in which they were made."""
        for each in simulations:
            self._trees[each.problem].grow(each.start, each.steps, each.won, self._settings.rule)

    def run(self, engine: Engine) -> Iterator[Simulation]:
        """Every simulation when it is finished. Raises EngineError.

        The engine takes trees as it has room. Where none is ready, all unfinished ones being under way in it, it
        answers what it has and is called again: keep more trees than it has slots.
        """
        ready = deque(tree for tree in self._trees.values() if not tree.is_finished(self._settings))
        self.unfinished = len(ready)
        while ready:
            asked: list[_Growing] = []
            for place, answer in engine.generate(self._requests(ready, asked)):
                tree = asked[place]
                self.in_flight -= 1
                if isinstance(answer, Failed):
                    self.failed[tree.problem.id] = f"{answer.reason}: {answer.message}"
                    self.unfinished -= 1
                    continue
                made, goes_on = self._take(tree, answer), not tree.is_finished(self._settings)
                self.unfinished -= not goes_on
                yield made
                if goes_on:
                    ready.append(tree)

    def _requests(self, ready: deque[_Growing], asked: list[_Growing]) -> Iterator[Request]:
        while ready:
            tree = ready.popleft()
            asked.append(tree)
            self.in_flight += 1
            yield self._request(tree)

    def _request(self, tree: _Growing) -> Request:
        settings = self._settings
        seed = simulation_seed(settings.seed, tree.problem.id, tree.iteration)
        tree.start = tree.tree.select(settings.rule)
        tree.shots = Random(seed).sample(settings.shots, settings.n_shots)
        prefix = tree.tree.prefix(tree.start)
        prompt = self._codec.prompt(tree.problem.question, tree.shots)
        tree.prompt_tokens = len(prompt)
        # Never 0: an answer that fills the length ends there, and its last node is terminal.
        room = settings.max_tokens - len(prefix)
        return Request(prompt + prefix, Sampling(room, settings.temperature, settings.top_p), seed=seed)

    def _take(self, tree: _Growing, answer: Completion) -> Simulation:
        sample, prefix = answer.samples[0], tree.tree.prefix(tree.start)
        if sample.token_ids is None:
            raise ValueError("the engine tells no token ids, and steps are cut on them: use one that does")
        steps = self._codec.steps(sample.token_ids)
        response, ended = self._codec.text(prefix + sample.token_ids), sample.finish_reason == "stop"
        outcome, iteration = self._grade(tree.problem, response, ended), tree.iteration
        leaf = tree.grow(tree.start, steps, outcome == "right", self._settings.rule)
        shots = tuple(shot.id for shot in tree.shots)
        return Simulation(
            tree.problem.id, iteration, tree.start, leaf, tuple(steps), ended, outcome, len(prefix),
            tree.prompt_tokens, shots, response,
        )  # fmt: skip


def simulation_seed(seed: int, problem: str, iteration: int) -> int:
    """A simulation's own seed in [0, 2^63)."""
    digest = hashlib.sha256(f"{seed}:{iteration}:{problem}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
