"""The claims of OREAL, measured on per-problem rows (specification: claims to reproduce in the small)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.claims.claim import Claim
from assets.core.statistics import PairedDifference, paired_bootstrap, verdict, verdict_not_worse
from assets.oreal.arms import HELD_EQUAL

MIN_SEEDS = 3
# Chosen before any run: the paper's own rungs are +0.8 to +1.4 points, about one standard error of its 500 problems.
NOISE = 0.02
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Statement:
    """`treatment` minus `baseline` by greedy accuracy. `asserted`: higher, not worse by `NOISE`, or only reported."""

    claim: str
    treatment: str
    baseline: str
    asserted: Literal["higher", "not_worse", "reported"]


STATEMENTS = (
    Statement("O2 outcome reward improves the start", "oreal", "sft", "higher"),
    Statement("O2 and beats cloning of as many samples", "oreal", "rft", "higher"),
    Statement("O2 as the released code weighs", "oreal_repo", "sft", "higher"),
    Statement("O3 not below REINFORCE", "oreal", "reinforce", "not_worse"),
    Statement("O3 ladder: + shaping", "shaping", "reinforce", "reported"),
    Statement("O3 ladder: + behaviour cloning", "cloning", "shaping", "reported"),
    Statement("O3 ladder: + token weights", "oreal", "cloning", "reported"),
    Statement("O3 against the official weights", "oreal", "oreal_repo", "reported"),
    Statement("O5 reinforcement improves an enhanced start", "matched", "sft", "higher"),
    Statement("O5 rows of failing skills beat random rows", "matched", "random", "higher"),
)


def accuracy_claims(scores: pl.DataFrame) -> Iterator[Claim]:
    """A claim for every statement whose two arms were scored on a common seed.

    `scores` has a row per arm, seed and problem: arm, seed, item_id, score.
    """
    for statement in STATEMENTS:
        treatment, baseline = (_wide(scores, arm, "score") for arm in (statement.treatment, statement.baseline))
        found = _compare(treatment, baseline)
        if found is not None:
            yield _claim(
                statement.claim, "greedy_accuracy", statement.treatment, statement.baseline, found,
                _verdict(statement, found), HELD_EQUAL if "sft" not in statement.baseline else "test problems",
                "" if statement.asserted != "reported" else "the sign is reported, not asserted",
            )  # fmt: skip


def credit_claims(credit: pl.DataFrame) -> Iterator[Claim]:
    """O4: does the token reward model tell the tokens from the first error on better than their place alone, and better
    than uniform weights? `credit` has a row per seed and group of problems."""
    for baseline, column in (("position in the response", "auc_position"), ("uniform weights", "auc_uniform")):
        model, other = (_wide(credit.with_columns(arm=pl.lit("all")), "all", name) for name in ("auc_model", column))
        found = _compare(model, other)
        if found is not None:
            yield _claim(
                "O4 token rewards find the error", "auc_after_first_error", "token reward model", baseline, found,
                verdict(found.low, found.high, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, direction="higher"),
                "wrong answers to held-out problems", "",
            )  # fmt: skip


def curve_claims(curves: Mapping[str, Mapping[int, list[float]]]) -> Iterator[Claim]:
    """O3: area under the validation curve and its step-to-step variance of every arm against REINFORCE, over seeds.

    `curves[arm][seed]` are the accuracies at the looks, as many for every arm.
    """
    for arm in curves:
        seeds = sorted(curves[arm].keys() & curves.get("reinforce", {}).keys())
        if arm == "reinforce" or not seeds:
            continue
        for metric, measure in (("area_under_curve", np.mean), ("step_variance", _step_variance)):
            ours, theirs = (
                np.array([[measure(np.array(curves[name][seed]))] for seed in seeds]) for name in (arm, "reinforce")
            )
            found = paired_bootstrap(ours, theirs)
            yield _claim(
                "O3 learning curves", metric, arm, "reinforce", found, _reported(found), HELD_EQUAL,
                "the sign is reported, not asserted",
            )  # fmt: skip


def best_of_n_claims(deviations: Mapping[int, Mapping[int, tuple[float, float, float]]]) -> Iterator[Claim]:
    """O1: the law of best-of-n among right answers does not depend on n.

    `deviations[n][seed]` are the total variation between picks and pi given R = 1, the upper bound of multinomial
    noise, and by how much pi_bon's sum differs from 1.
    """
    for n, by_seed in deviations.items():
        rows = np.array([by_seed[seed] for seed in sorted(by_seed)])
        inside = bool((rows[:, 0] <= rows[:, 1]).all() and (rows[:, 2] < 1e-9).all())
        difference = rows[:, 0] - rows[:, 1]
        yield Claim(
            system="oreal", claim="O1 the law of best-of-n picks", metric="total_variation_above_noise",
            baseline="97.5 % bound of multinomial noise", treatment=f"n = {n}", difference=float(difference.mean()),
            low=float(difference.min()), high=float(difference.max()), n_seeds=len(rows), n_items=len(rows),
            held_equal="answers, their probabilities, number of picks",
            verdict="inconclusive" if len(rows) < MIN_SEEDS else "reproduced" if inside else "not_reproduced",
            note="bounds are the least and the largest over seeds; pi_bon sums to 1",
        )  # fmt: skip


def best_of_n_deviation(
    probabilities: Floats, right: NDArray[np.bool_], n: int, *, picks: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Of `picks` best-of-n picks: the total variation of the right ones from pi given R = 1, the 97.5 % bound of what
    as many draws from that law itself show, and by how much pi_bon's sum differs from 1."""
    from models.training.outcome_rewards import best_of_n_law

    drawn = rng.choice(len(probabilities), size=(picks, n), p=probabilities)
    correct = right[drawn]
    solved = correct.any(axis=1)
    # One of the right ones at random.
    place = np.where(correct, rng.random(correct.shape), -1.0).argmax(axis=1)
    chosen = drawn[np.arange(picks), place][solved]
    law = np.where(right, probabilities, 0.0)
    law = law / law.sum()
    counts = np.bincount(chosen, minlength=len(law))
    noise = rng.multinomial(len(chosen), law, size=400) / len(chosen)
    band = np.quantile(np.abs(noise - law).sum(axis=1) / 2, 0.975)
    total = float(best_of_n_law(probabilities, right, n).sum())
    return float(np.abs(counts / len(chosen) - law).sum() / 2), float(band), abs(total - 1)


def _step_variance(accuracies: Floats) -> float:
    return float(np.var(np.diff(accuracies))) if len(accuracies) > 1 else 0.0


def _wide(rows: pl.DataFrame, arm: str, metric: str) -> pl.DataFrame:
    """Values of an arm: a row per item, a column per seed; items that every seed has."""
    of_arm = rows.filter(pl.col("arm") == arm)
    if not of_arm.height:
        return pl.DataFrame({"item_id": []}, schema={"item_id": pl.String})
    return of_arm.pivot("seed", index="item_id", values=metric).drop_nulls().sort("item_id")


def _compare(treatment: pl.DataFrame, baseline: pl.DataFrame) -> PairedDifference | None:
    seeds = sorted(set(treatment.columns) & set(baseline.columns) - {"item_id"})
    both = treatment.join(baseline, on="item_id", suffix=" baseline", validate="1:1").sort("item_id")
    if not seeds or not both.height:
        return None
    ours, theirs = (both.select(names).to_numpy().T for names in (seeds, [f"{seed} baseline" for seed in seeds]))
    return paired_bootstrap(ours, theirs)


def _reported(found: PairedDifference) -> Literal["reproduced", "inconclusive"]:
    return "inconclusive" if found.n_seeds < MIN_SEEDS or found.low <= 0 <= found.high else "reproduced"


def _verdict(statement: Statement, found: PairedDifference) -> Literal["reproduced", "not_reproduced", "inconclusive"]:
    if statement.asserted == "reported":
        return _reported(found)
    if statement.asserted == "not_worse":
        return verdict_not_worse(
            found.low, found.high, margin=NOISE, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, better="higher"
        )
    return verdict(found.low, found.high, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, direction="higher")


def _claim(
    claim: str,
    metric: str,
    treatment: str,
    baseline: str,
    found: PairedDifference,
    decided: Literal["reproduced", "not_reproduced", "inconclusive"],
    held_equal: str,
    note: str,
) -> Claim:
    notes = [
        f"{found.n_seeds} of at least {MIN_SEEDS} seeds" if found.n_seeds < MIN_SEEDS else "",
        f"{found.treatment:.3f} against {found.baseline:.3f}",
        note,
    ]
    return Claim(
        system="oreal", claim=claim, metric=metric, baseline=baseline, treatment=treatment,
        difference=found.difference, low=found.low, high=found.high, n_seeds=found.n_seeds, n_items=found.n_items,
        held_equal=held_equal, verdict=decided, note="; ".join(filter(None, notes)),
    )  # fmt: skip
