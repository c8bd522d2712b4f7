"""Query bootstrapping: from seeds over questions and thoughts to queries, in rounds. No I/O.

Each round asks for questions about its seeds (breadth) and for a thought on each new question (depth); questions and
thoughts are queries, and some of them are seeds of the next round (official repo: images/main_stage.png). Who writes is
a `Bootstrapper`: rules or a language model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from assets.core.ids import content_id
from assets.knowledge_pile.seeds import Seed

QueryKind = Literal["seed", "question", "thought"]
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Query:
    """A query and how it came about. `depth` is the round (0: the seed itself), `llm` who wrote it."""

    id: str
    seed_id: str
    parent_query_id: str | None
    depth: int
    kind: QueryKind
    text: str
    llm: str
    sample_seed: int
    temperature: float | None


@dataclass(frozen=True, slots=True)
class Written:
    """What a bootstrapper made of one query: texts, or why there are none."""

    texts: Sequence[str]
    problem: str = ""


class Bootstrapper(Protocol):
    """Writes queries. Answers come in the order of what is asked, one for each."""

    @property
    def name(self) -> str:
        """Who writes: `template`, or the model."""
        ...

    @property
    def temperature(self) -> float | None:
        """Of questions; None for rules."""
        ...

    @property
    def thought_temperature(self) -> float | None:
        """Of thoughts; None for rules."""
        ...

    def extend(self, seeds: Sequence[Query]) -> list[Written]:
        """Questions about each seed."""
        ...

    def think(self, questions: Sequence[Query]) -> list[Written]:
        """The reasoning that answers each question."""
        ...


@dataclass
class Bootstrapped:
    """All queries in the order in which they were found, how many repeated an earlier one word by word, and what
    failed: (query asked about, problem)."""

    queries: list[Query] = field(default_factory=list)
    duplicates: int = 0
    failures: list[tuple[Query, str]] = field(default_factory=list)


def bootstrap(
    seeds: Sequence[Seed], writer: Bootstrapper, *, n_rounds: int, n_feedback: int, sample_seed: int
) -> Bootstrapped:
    """The queries of all rounds. At most `n_feedback` questions and thoughts of a round, chosen by a hash, are seeds of
    the next. A text that was there before, but for case and punctuation, is not asked about again."""
    found = Bootstrapped()
    seen: set[str] = set()
    frontier = _new(
        found, seen, [Query(s.id, s.id, None, 0, "seed", s.text, "given", sample_seed, None) for s in seeds]
    )
    for depth in range(1, n_rounds + 1):
        questions = _new(
            found, seen, _queries(found, frontier, writer.extend(frontier), "question", depth, writer, sample_seed)
        )
        thoughts = _new(
            found, seen, _queries(found, questions, writer.think(questions), "thought", depth, writer, sample_seed)
        )
        ranked = sorted([*questions, *thoughts], key=lambda query: content_id("feedback", str(sample_seed), query.id))
        frontier = ranked[:n_feedback]
    return found


def _queries(
    found: Bootstrapped,
    parents: Sequence[Query],
    answers: Sequence[Written],
    kind: QueryKind,
    depth: int,
    writer: Bootstrapper,
    sample_seed: int,
) -> list[Query]:
    queries = []
    temperature = writer.temperature if kind == "question" else writer.thought_temperature
    for parent, written in zip(parents, answers, strict=True):
        if written.problem:
            found.failures.append((parent, written.problem))
        for text in written.texts:
            name = content_id("query", parent.id, kind, str(depth), text)
            queries.append(
                Query(name, parent.seed_id, parent.id, depth, kind, text, writer.name, sample_seed, temperature)
            )
    return queries


def _new(found: Bootstrapped, seen: set[str], candidates: Sequence[Query]) -> list[Query]:
    """The candidates whose text was not there before; they are added to what was found."""
    fresh = []
    for query in candidates:
        text = normalised(query.text)
        if not text or text in seen:
            found.duplicates += 1
            continue
        seen.add(text)
        fresh.append(query)
    found.queries += fresh
    return fresh


def normalised(text: str) -> str:
    """Lower case, with runs of white space and punctuation as one space: by this two queries are the same."""
    return _NOT_WORD.sub(" ", text.lower()).strip()
