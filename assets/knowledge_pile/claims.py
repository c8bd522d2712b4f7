"""The claims of Knowledge Pile, on per-passage rows (specification: claims to reproduce in the small).

What is measured is lower perplexity on domain text, not better reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.claims.claim import Claim
from assets.core.statistics import PairedDifference, Verdict, paired_bootstrap, verdict
from assets.knowledge_pile.arms import HELD_EQUAL, Arm
from assets.knowledge_pile.measure import retrieval_by_module

MIN_SEEDS = 5
Floats = NDArray[np.float64]
Metric = Literal["in_domain_bpb", "out_of_domain_bpb", "precision", "recall", "domain_share"]
SELECTION_HELD_EQUAL = "pool, token budget, filters"


@dataclass(frozen=True)
class Statement:
    """`treatment` minus `baseline` by a metric; with `direction` None the sign is reported, not asserted."""

    claim: str
    treatment: Arm
    baseline: Arm
    metric: Metric
    direction: Literal["higher", "lower"] | None


STATEMENTS = (
    Statement("1 the pile beats random text", "thoughts", "random", "in_domain_bpb", "lower"),
    Statement("1 distance to the ceiling", "thoughts", "oracle", "in_domain_bpb", None),
    Statement("2 bootstrapped queries beat seeds alone", "thoughts", "seed_only", "in_domain_bpb", "lower"),
    Statement("2 bootstrapped queries beat seeds alone", "thoughts", "seed_only", "precision", "higher"),
    Statement("2 bootstrapped queries beat seeds alone", "thoughts", "seed_only", "recall", "higher"),
    Statement("2 bootstrapped queries beat seeds alone", "thoughts", "seed_only", "domain_share", "higher"),
    Statement("3 thoughts add to questions", "thoughts", "questions", "in_domain_bpb", None),
    Statement("3 thoughts add to questions", "thoughts", "questions", "precision", None),
    Statement("3 thoughts add to questions", "thoughts", "questions", "recall", None),
    Statement("3 thoughts add to questions", "thoughts", "questions", "domain_share", None),
    Statement("4 cost outside the domain", "thoughts", "random", "out_of_domain_bpb", None),
)


def measure_claims(
    scores: Mapping[str, pl.DataFrame], selections: Mapping[str, pl.DataFrame], labels: pl.DataFrame
) -> Iterator[Claim]:
    """A claim for every statement whose two arms have a common seed.

    `scores` and `selections` map an arm to its rows of all seeds; `labels` has id, module, in_domain and n_tokens of
    the pool. Passages of one module share a source: the module is what varies in the interval.
    """
    for statement in STATEMENTS:
        rows = scores if statement.metric.endswith("bpb") else selections
        arms = [rows.get(statement.treatment), rows.get(statement.baseline)]
        if any(frame is None or not frame.height for frame in arms):
            continue
        seeds = sorted(set(arms[0]["seed"]) & set(arms[1]["seed"]))  # type: ignore[index]
        if seeds:
            yield _claim(statement, _compare(statement.metric, arms, seeds, labels))  # type: ignore[arg-type]


def _compare(metric: Metric, arms: list[pl.DataFrame], seeds: list[int], labels: pl.DataFrame) -> PairedDifference:
    of_seed = [[frame.filter(pl.col("seed") == seed) for seed in seeds] for frame in arms]
    if metric.endswith("bpb"):
        inside = metric == "in_domain_bpb"
        sums = [[_bits_by_module(frame.filter(pl.col("in_domain") == inside)) for frame in arm] for arm in of_seed]
        modules = sums[0][0]["module"]
        if any(not frame["module"].equals(modules) for arm in sums for frame in arm):
            raise ValueError("the arms scored different passages; materialize the scores again")
        scores = [np.stack([frame["bits"].to_numpy() for frame in arm]) for arm in sums]
        return paired_bootstrap(*scores, weights=sums[0][0]["n_bytes"].to_numpy())
    scores = [np.stack([_retrieved(metric, frame, labels) for frame in arm]) for arm in of_seed]
    weights = retrieval_by_module(of_seed[0][0], labels)["tokens" if metric == "domain_share" else "passages"]
    return paired_bootstrap(*scores, weights=weights.to_numpy())


def _bits_by_module(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.group_by("module").agg(pl.col("bits").sum(), pl.col("n_bytes").sum()).sort("module")


def _retrieved(metric: Metric, selected: pl.DataFrame, labels: pl.DataFrame) -> Floats:
    """A score per module of the domain, `[modules]`, that over the modules' weights gives the metric.

    Recall is passages found over passages. Precision and the domain's share have another denominator, the selection's
    size: the score is scaled by it, so that the weights are those of the modules in both arms.
    """
    modules = retrieval_by_module(selected, labels)
    found = modules["found"].to_numpy().astype(float)
    if metric == "recall":
        return found
    if metric == "precision":
        return found * int(modules["passages"].sum()) / selected["document_id"].n_unique()
    return modules["drawn_tokens"].to_numpy() * int(modules["tokens"].sum()) / int(selected["n_tokens"].sum())


def _claim(statement: Statement, found: PairedDifference) -> Claim:
    notes = [
        f"{found.n_seeds} of at least {MIN_SEEDS} seeds" if found.n_seeds < MIN_SEEDS else "",
        f"{found.treatment:.4f} against {found.baseline:.4f}",
        "" if statement.direction else "the sign is reported, not asserted",
    ]
    return Claim(
        system="knowledge_pile",
        claim=statement.claim,
        metric=statement.metric,
        baseline=statement.baseline,
        treatment=statement.treatment,
        difference=found.difference,
        low=found.low,
        high=found.high,
        n_seeds=found.n_seeds,
        n_items=found.n_items,
        held_equal=HELD_EQUAL if statement.metric.endswith("bpb") else SELECTION_HELD_EQUAL,
        verdict=_verdict(statement, found),
        note="; ".join(filter(None, notes)),
    )


def _verdict(statement: Statement, found: PairedDifference) -> Verdict:
    if statement.direction:
        return verdict(found.low, found.high, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, direction=statement.direction)
    return "inconclusive" if found.n_seeds < MIN_SEEDS or found.low <= 0 <= found.high else "reproduced"
