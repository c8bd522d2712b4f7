"""The seed information of a domain: names, keywords, questions and textbook sentences in our own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from assets.core.errors import InputError
from assets.core.ids import content_id

Kind = Literal["category", "question", "keyword", "textbook"]
KINDS: Mapping[str, Kind] = {kind: kind for kind in get_args(Kind)}
STATISTICS: tuple[tuple[Kind, str], ...] = (
    ("category", "statistics"),
    ("category", "statistical learning"),
    ("category", "probability distributions"),
    ("category", "hypothesis testing"),
    ("keyword", "linear regression"),
    ("keyword", "random forest"),
    ("keyword", "logistic regression"),
    ("keyword", "cross-validation"),
    ("keyword", "confidence interval"),
    ("keyword", "cluster analysis"),
    ("keyword", "analysis of variance"),
    ("keyword", "normal distribution"),
    ("question", "How can I tell whether two samples have the same mean?"),
    ("question", "How do I choose the number of clusters?"),
    ("question", "What is the correlation between two variables?"),
    (
        "textbook",
        "A random variable has an expected value and a variance; sample mean and sample variance estimate them.",
    ),
    (
        "textbook",
        "A classifier is fitted to labelled training data and evaluated by its precision, recall and accuracy on test "
        "data.",
    ),
)
BUILT_IN: Mapping[str, tuple[tuple[Kind, str], ...]] = {"statistics": STATISTICS}


@dataclass(frozen=True, slots=True)
class Seed:
    """One piece of seed information."""

    id: str
    domain: str
    kind: Kind
    text: str


def built_in_seeds(domain: str) -> list[Seed]:
    """The seeds that come with the project; raises InputError for a domain without any."""
    if domain not in BUILT_IN:
        raise InputError(
            f"there are no built-in seeds of the domain {domain!r}, only of {', '.join(BUILT_IN)}",
            "give a file of your own: set `path` of knowledge_pile/seeds",
        )
    return [_seed(domain, kind, text) for kind, text in BUILT_IN[domain]]


def seeds_of(rows: Iterable[Mapping[str, Any]], domain: str) -> list[Seed]:
    """Seeds from rows with `kind` and `text`; raises InputError for a row that is none, and where there are none."""
    seeds = []
    for number, row in enumerate(rows, start=1):
        kind, text = KINDS.get(row.get("kind", "")), row.get("text")
        if kind is None or not isinstance(text, str) or not text.strip():
            raise InputError(
                f"row {number} of the seeds is {dict(row)}",
                f"give every row a kind ({', '.join(KINDS)}) and a text",
            )
        seeds.append(_seed(domain, kind, text.strip()))
    if not seeds:
        raise InputError("the file of seeds has no row", "give at least one seed, or no path for the built-in ones")
    return seeds


def _seed(domain: str, kind: Kind, text: str) -> Seed:
    return Seed(content_id("seed", domain, kind, text), domain, kind, text)
