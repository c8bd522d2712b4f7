"""The claims of Case2Code, measured on per-problem rows (specification: claims to reproduce in the small)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.case2code.arms import HELD_EQUAL
from assets.claims.claim import Claim
from assets.core.errors import InputError
from assets.core.statistics import PairedDifference, Verdict, paired_bootstrap, verdict

MIN_SEEDS = 3
Floats = NDArray[np.float64]
Metric = Literal["hidden_pass", "shown_pass", "score", "bits"]


@dataclass(frozen=True)
class Statement:
    """`treatment` minus `baseline` by a metric under an evaluation.

    Evaluations are `evaluation` and `unseen` (forms of the prompt), `completion` (bodies from docstrings) and `text`
    (held-out code). With `direction` None the sign is reported, not asserted.
    """

    claim: str
    evaluation: str
    metric: Metric
    treatment: str
    baseline: str
    direction: Literal["higher", "lower"] | None


STATEMENTS = (
    Statement("1 cases teach induction", "evaluation", "hidden_pass", "diverse", "plain_code", "higher"),
    Statement("1 training beats few-shot", "evaluation", "hidden_pass", "diverse", "few_shot", "higher"),
    Statement("2 diverse prompts generalise", "unseen", "hidden_pass", "diverse", "single", "higher"),
    Statement("4 transfer to completion", "completion", "score", "diverse", "plain_code", None),
    Statement("4 transfer to completion", "completion", "score", "diverse", "few_shot", None),
    Statement("4 transfer to code", "text", "bits", "diverse", "plain_code", None),
    Statement("4 transfer to code", "text", "bits", "diverse", "few_shot", None),
)
METRIC_NAMES = {
    "hidden_pass": "execution_accuracy_hidden",
    "shown_pass": "execution_accuracy_shown",
    "score": "execution_accuracy",
    "bits": "bits_per_byte",
}


def measure_claims(rows: pl.DataFrame) -> Iterator[Claim]:
    """A claim for every statement whose two arms were scored on a common seed, and claim 3 for every arm.

    `rows` has a row per arm, seed, evaluation and item: item_id, shown_accuracy, hidden_accuracy, score, and for the
    evaluation `text` bits and n_bytes. Rows without a score are left out of both arms.
    """
    prepared = rows.with_columns(
        hidden_pass=(pl.col("hidden_accuracy") == 1).cast(pl.Float64),
        shown_pass=(pl.col("shown_accuracy") == 1).cast(pl.Float64),
    )
    for statement in STATEMENTS:
        of_evaluation = prepared.filter(pl.col("evaluation") == statement.evaluation)
        treatment, baseline = (
            _wide(of_evaluation, arm, statement.metric) for arm in (statement.treatment, statement.baseline)
        )
        if set(treatment.columns) & set(baseline.columns) > {"item_id"}:
            yield _claim(statement, _compare(treatment, baseline, of_evaluation, statement.metric))
    yield from _gaps(prepared.filter(pl.col("evaluation") == "evaluation"))


def _gaps(rows: pl.DataFrame) -> Iterator[Claim]:
    """Claim 3, of every arm: how much more often the shown cases pass than the hidden ones of the same problems."""
    for arm in rows["arm"].unique(maintain_order=True):
        both = rows.filter(pl.col("hidden_accuracy").is_not_null() & pl.col("shown_accuracy").is_not_null())
        shown, hidden = _wide(both, arm, "shown_pass"), _wide(both, arm, "hidden_pass")
        if shown.width > 1:
            statement = Statement("3 shown against hidden cases", "evaluation", "shown_pass", arm, arm, None)
            yield _claim(statement, _compare(shown, hidden, both, "shown_pass"))


def _wide(rows: pl.DataFrame, arm: str, metric: str) -> pl.DataFrame:
    """Scores of an arm: a row per item, a column per seed; items are kept that every seed scored."""
    if metric not in rows.columns:
        return pl.DataFrame({"item_id": []}, schema={"item_id": pl.String})
    of_arm = rows.filter((pl.col("arm") == arm) & pl.col(metric).is_not_null())
    samples = of_arm.group_by("item_id", "seed").agg(pl.col(metric).mean())
    return samples.pivot("seed", index="item_id", values=metric).drop_nulls().sort("item_id")


def _compare(treatment: pl.DataFrame, baseline: pl.DataFrame, rows: pl.DataFrame, metric: Metric) -> PairedDifference:
    """Treatment minus baseline over the items and seeds that both have."""
    seeds = sorted(set(treatment.columns) & set(baseline.columns) - {"item_id"})
    both = treatment.join(baseline, on="item_id", suffix=" baseline", validate="1:1").sort("item_id")
    if not both.height:
        raise InputError(
            f"no problem has {metric} in both arms", "evaluate both arms on the same problems; is the sandbox at work?"
        )
    ours, theirs = (both.select(names).to_numpy().T for names in (seeds, [f"{seed} baseline" for seed in seeds]))
    weights: Floats | None = None
    if metric == "bits":
        sizes = rows.select("item_id", "n_bytes").unique("item_id")
        weights = (
            both.select("item_id").join(sizes, on="item_id", maintain_order="left")["n_bytes"].to_numpy().astype(float)
        )
    return paired_bootstrap(ours, theirs, weights=weights)


def _claim(statement: Statement, found: PairedDifference) -> Claim:
    own = statement.treatment == statement.baseline
    notes = [
        f"{found.n_seeds} of at least {MIN_SEEDS} seeds" if found.n_seeds < MIN_SEEDS else "",
        f"{found.treatment:.3f} against {found.baseline:.3f}",
        "" if statement.direction else "the sign is reported, not asserted",
    ]
    metric = METRIC_NAMES[statement.metric]
    return Claim(
        system="case2code",
        claim=statement.claim,
        metric=metric if statement.evaluation != "unseen" else f"{metric}_unseen_template",
        baseline=f"{statement.baseline}, hidden cases" if own else statement.baseline,
        treatment=f"{statement.treatment}, shown cases" if own else statement.treatment,
        difference=found.difference,
        low=found.low,
        high=found.high,
        n_seeds=found.n_seeds,
        n_items=found.n_items,
        held_equal=_held_equal(statement),
        verdict=_verdict(statement, found),
        note="; ".join(filter(None, notes)),
    )


def _held_equal(statement: Statement) -> str:
    if statement.treatment == statement.baseline:
        return "checkpoint, answers, problems"
    return "starting checkpoint, problems, cases" if statement.baseline == "few_shot" else HELD_EQUAL


def _verdict(statement: Statement, found: PairedDifference) -> Verdict:
    if statement.direction:
        return verdict(found.low, found.high, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, direction=statement.direction)
    return "inconclusive" if found.n_seeds < MIN_SEEDS or found.low <= 0 <= found.high else "reproduced"
