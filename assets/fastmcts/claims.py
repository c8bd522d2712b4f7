"""The claims of FastMCTS, on simulations and per-item scores (specification: claims to reproduce in the small)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from assets.claims.claim import Claim
from assets.core.statistics import (
    PairedDifference,
    Verdict,
    micro_mean,
    paired_bootstrap,
    verdict,
    verdict_not_worse,
    wilson_interval,
)
from assets.fastmcts.measure import BUDGET_SHARES, Floats, gini, per_problem, unequal_budgets, within_budget

MIN_SEEDS = 3
# Set before any data were seen: a loss of solved problems below this does not matter.
SOLVE_MARGIN = 0.02
MAX_VISITS = 4
Direction = Literal["higher", "lower", "not worse"]
TOKENS_HELD = "generator, problems, generated tokens per problem, noise of the n-th simulation"
TRAJECTORIES_HELD = "generator, problems, 25 trajectories per problem, noise of the n-th simulation"
TRAINING_HELD = "starting checkpoint, steps, tokens per step (padding included), learning rates, test problems"
Curves = dict[str, dict[float, list[float]]]


@dataclass
class Searches:
    """The simulations of several samplers over the same problems, with all seeds' screened problems.

    Compared are the seeds that every sampler has, over the problems that every one of these seeds searched: screening
    drops other problems for every policy.
    """

    screened: pl.DataFrame
    simulations: Mapping[str, pl.DataFrame]
    _values: dict[tuple[str, float | None, int], dict[str, Floats]] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        found = [set(rows["seed"]) for rows in self.simulations.values() if rows.height]
        return sorted(set.intersection(*found)) if found and len(found) == len(self.simulations) else []

    @property
    def problems(self) -> list[str]:
        """Ids in the problem set."""
        shared = [
            set(rows.filter(pl.col("seed") == seed)["problem_id"])
            for rows in self.simulations.values()
            for seed in self.seeds
        ]
        return sorted(set.intersection(*shared)) if shared else []

    def budgets(self, seed: int) -> dict[str, int]:
        rows = self.screened.filter(pl.col("seed") == seed)
        return dict(zip(rows["parents"].list.first(), rows["budget"], strict=True))

    def unfinished(self) -> dict[str, list[str]]:
        """Problems by sampler and seed that were left before their budget was spent, or got more."""
        found = {
            f"{sampler}@{seed}": unequal_budgets(rows.filter(pl.col("seed") == seed), self.budgets(seed))
            for sampler, rows in self.simulations.items()
            for seed in self.seeds
        }
        return {name: problems for name, problems in found.items() if problems}

    def values(self, sampler: str, measure: str, share: float | None) -> Floats:
        """A measure of `per_problem` at a share of the token budget (None: of all simulations), `[seeds, problems]`."""
        return np.stack([self._measured(sampler, share, seed)[measure] for seed in self.seeds])

    def _measured(self, sampler: str, share: float | None, seed: int) -> dict[str, Floats]:
        place = sampler, share, seed
        if place not in self._values:
            rows = self.simulations[sampler].filter(pl.col("seed") == seed)
            if share is not None:
                rows = within_budget(rows, self.budgets(seed), share)
            self._values[place] = per_problem(rows, self.problems)
        return self._values[place]


def measure_claims(
    budgeted: Searches, ablations: Searches, scores: pl.DataFrame, labels: pl.DataFrame
) -> Iterator[Claim]:
    """Every claim for which there are data. `scores` has arm, seed, item_id, score; `labels` those of `Labelled`."""
    if budgeted.seeds and budgeted.problems:
        yield from _efficiency(budgeted)
        yield from _balance(budgeted)
    if ablations.seeds and ablations.problems:
        yield from _components(ablations)
    yield from _training(scores)
    if labels.height:
        yield from _labels(labels)


def _efficiency(searches: Searches) -> Iterator[Claim]:
    """F1 at every budget, the other half of its ordering, and F1b."""
    for share in BUDGET_SHARES:
        yield _compared(searches, "F1 more right paths", "fastmcts", "rejection", "right", share, "higher")
    yield _compared(searches, "F1 ordering", "rejection", "vanilla", "right", 1.0, "higher")
    yield _compared(searches, "F1 ordering", "rejection", "vanilla", "solved", 1.0, "higher")
    duplicates: tuple[tuple[str, Direction], ...] = (
        ("distinct", "higher"),
        ("first_steps", "higher"),
        ("overlap", "lower"),
    )
    for measure, direction in duplicates:
        yield _compared(searches, "F1b not just duplicates", "fastmcts", "rejection", measure, 1.0, direction)


def _balance(searches: Searches) -> Iterator[Claim]:
    """F2: as many problems solved, and right paths spread more evenly over them."""
    yield _compared(searches, "F2 solve rate kept", "fastmcts", "rejection", "solved", 1.0, "not worse")
    yield _compared(searches, "F2 more balanced", "fastmcts", "rejection", "gini", 1.0, "lower")


def _components(searches: Searches) -> Iterator[Claim]:
    """F3: the directions of the published ablation (secondary account); its sizes are of another world."""
    wanted: tuple[tuple[str, str, Direction], ...] = (
        ("without_stay", "solved", "higher"), ("without_stay", "right", "higher"),
        ("without_dynamic", "solved", "not worse"), ("without_dynamic", "right", "higher"),
        ("without_both", "solved", "higher"), ("without_both", "right", "higher"), ("rejection", "right", "higher"),
    )  # fmt: skip
    for baseline, measure, direction in wanted:
        yield _compared(searches, "F3 components", "full", baseline, measure, None, direction)


def _compared(
    searches: Searches,
    claim: str,
    treatment: str,
    baseline: str,
    measure: str,
    share: float | None,
    direction: Direction,
) -> Claim:
    column = "right" if measure == "gini" else measure
    arms = [searches.values(sampler, column, share) for sampler in (treatment, baseline)]
    if measure == "gini":
        items = np.arange(arms[0].shape[1])
        found = paired_bootstrap(*arms, groups=items, strata=np.zeros_like(items), statistic=gini)
    else:
        found = paired_bootstrap(*arms, statistic=micro_mean)
    ratio = f", ratio {found.treatment / found.baseline:.2f}" if found.baseline and measure != "gini" else ""
    at = "" if share is None else f" at {share:.0%} of the budget"
    return Claim(
        system="fastmcts", claim=claim, metric=f"{METRICS[measure]}{at}", baseline=baseline, treatment=treatment,
        difference=found.difference, low=found.low, high=found.high, n_seeds=found.n_seeds, n_items=found.n_items,
        held_equal=TRAJECTORIES_HELD if share is None else TOKENS_HELD, verdict=_verdict(found, direction),
        note=_note(found, direction, f"{found.treatment:.3f} against {found.baseline:.3f}{ratio}"),
    )  # fmt: skip


METRICS = {
    "right": "right_paths_per_problem",
    "distinct": "distinct_right_paths_per_problem",
    "first_steps": "distinct_first_steps_of_right_paths",
    "overlap": "mean_pairwise_prefix_overlap",
    "solved": "share_of_problems_with_a_right_path",
    "gini": "gini_of_right_paths_over_problems",
}
# (claim, treatment, baseline, direction) over per-item scores of the test problems.
TRAINED: tuple[tuple[str, str, str, Direction], ...] = (
    ("F4 better data at equal sampling tokens", "fastmcts", "rejection", "higher"),
    ("F4 better data at equal rows", "fastmcts_equal_rows", "rejection_equal_rows", "higher"),
    ("F5 branch preferences help", "branch_pairs", "fastmcts", "higher"),
    ("F5 more than random pairs", "branch_pairs", "random_pairs", "higher"),
    # The published headline compares these two, and calls it the search's gain.
    ("F5 headline: both against rejection", "branch_pairs", "rejection", "higher"),
)


def _training(scores: pl.DataFrame) -> Iterator[Claim]:
    """F4 and F5: greedy accuracy of the arms on the test problems."""
    for claim, treatment, baseline, direction in TRAINED:
        arms = [_wide(scores, arm) for arm in (treatment, baseline)]
        seeds = sorted(set(arms[0].columns) & set(arms[1].columns) - {"item_id"})
        if not seeds:
            continue
        both = arms[0].join(arms[1], on="item_id", suffix=" baseline", validate="1:1").sort("item_id")
        sides = (both.select(names).to_numpy().T for names in (seeds, [f"{seed} baseline" for seed in seeds]))
        found = paired_bootstrap(*sides)
        yield Claim(
            system="fastmcts", claim=claim, metric="greedy_accuracy", baseline=baseline, treatment=treatment,
            difference=found.difference, low=found.low, high=found.high, n_seeds=found.n_seeds, n_items=found.n_items,
            held_equal=TRAINING_HELD, verdict=_verdict(found, direction),
            note=_note(found, direction, f"{found.treatment:.3f} against {found.baseline:.3f}"),
        )  # fmt: skip


def _wide(scores: pl.DataFrame, arm: str) -> pl.DataFrame:
    """Scores of an arm: a row per item, a column per seed; items that every seed scored."""
    rows = scores.filter(pl.col("arm") == arm)
    return rows.pivot("seed", index="item_id", values="score").drop_nulls().sort("item_id")


def _labels(labels: pl.DataFrame) -> Iterator[Claim]:
    """F5: of the steps that a tree rejects, the share that is really wrong, against all steps of the trees."""
    base, n_seeds = float(labels["wrong"].cast(pl.Float64).sum()) / labels.height, labels["seed"].n_unique()
    for kind in KINDS:
        for visits, (precision, steps) in precision_by_visits(labels, kind).items():
            low, high = (bound - base for bound in wilson_interval(round(precision * steps), steps))
            few = f"{n_seeds} of at least {MIN_SEEDS} seeds; " if n_seeds < MIN_SEEDS else ""
            yield Claim(
                system="fastmcts", claim="F5 rejected steps are wrong", metric=f"precision_at_{visits}_visits",
                baseline="all steps of the trees", treatment=kind, difference=precision - base, low=low, high=high,
                n_seeds=n_seeds, n_items=steps, held_equal="trees",
                verdict=verdict(low, high, n_seeds=n_seeds, min_seeds=MIN_SEEDS, direction="higher"),
                note=f"{few}{precision:.3f} of {steps} against {base:.3f}; steps of one tree are not independent",
            )  # fmt: skip


# What a tree rejects, and what of it becomes a pair.
KINDS = {"rejected": "rejected steps", "paired": "rejected steps that no right sibling repeats"}


def precision_by_visits(labels: pl.DataFrame, kind: str) -> dict[int, tuple[float, int]]:
    """By the least number of visits: the share of rejected (of KINDS) steps that are wrong, and how many they are."""
    chosen = labels.filter(pl.col("rejected") & (~pl.col("repeated") if kind == "paired" else True))
    found = {}
    for visits in range(1, MAX_VISITS + 1):
        rows = chosen.filter(pl.col("visits") >= visits)
        if rows.height:
            found[visits] = round(float(rows["wrong"].sum()) / rows.height, 4), rows.height
    return found


def _verdict(found: PairedDifference, direction: Direction) -> Verdict:
    seeds = {"n_seeds": found.n_seeds, "min_seeds": MIN_SEEDS}
    if direction == "not worse":
        return verdict_not_worse(found.low, found.high, margin=SOLVE_MARGIN, better="higher", **seeds)
    return verdict(found.low, found.high, direction=direction, **seeds)


def _note(found: PairedDifference, direction: Direction, values: str) -> str:
    notes = [
        f"{found.n_seeds} of at least {MIN_SEEDS} seeds" if found.n_seeds < MIN_SEEDS else "",
        values,
        f"margin {SOLVE_MARGIN}" if direction == "not worse" else "",
    ]
    return "; ".join(filter(None, notes))


def curves(searches: Searches) -> tuple[Curves, Curves]:
    """Mean right paths per problem, and share of problems solved, by sampler and share of the budget."""
    right, solved = (
        {
            sampler: {share: searches.values(sampler, measure, share).mean(axis=1).tolist() for share in BUDGET_SHARES}
            for sampler in searches.simulations
        }
        for measure in ("right", "solved")
    )
    return right, solved


def right_by_difficulty(searches: Searches) -> dict[str, dict[str, float]]:
    """Mean right paths per problem by sampler and difficulty, at the whole budget."""
    difficulty = dict(zip(searches.screened["parents"].list.first(), searches.screened["difficulty"], strict=True))
    of_problem = np.array([difficulty[problem] for problem in searches.problems])
    return {
        sampler: {
            str(bin): float(searches.values(sampler, "right", 1.0)[:, of_problem == bin].mean())
            for bin in sorted(set(of_problem.tolist()))
        }
        for sampler in searches.simulations
    }
