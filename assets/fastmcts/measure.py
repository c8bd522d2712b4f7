"""What a sampler found, per problem: right paths by tokens spent, distinct ones, overlap, and balance. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Shares of the token budget at which right paths are counted.
BUDGET_SHARES = (0.25, 0.5, 0.75, 1.0)


def within_budget(simulations: pl.DataFrame, budgets: Mapping[str, int], share: float = 1.0) -> pl.DataFrame:
    """The simulations that were finished before `share` of their problem's budget was spent.

    A search at a smaller budget is the beginning of one at a larger, so one run tells the whole curve.
    """
    spent = pl.col("tokens_generated").cum_sum().over("problem_id", order_by="iteration")
    limit = pl.col("problem_id").replace_strict(budgets, return_dtype=pl.Float64) * share
    return simulations.filter(spent <= limit)


def unequal_budgets(simulations: pl.DataFrame, budgets: Mapping[str, int]) -> list[str]:
    """Problems that were left before their budget was spent, or went on after the simulation that spent it."""
    spent = simulations.sort("iteration").group_by("problem_id").agg(
        total=pl.col("tokens_generated").sum(), last=pl.col("tokens_generated").last()
    )  # fmt: skip
    return [
        problem
        for problem, total, last in spent.sort("problem_id").iter_rows()
        if not total - last < budgets[problem] <= total
    ]


def right_paths(simulations: pl.DataFrame) -> pl.DataFrame:
    """The simulations whose answer is right and whose path the tree kept."""
    return simulations.filter(pl.col("verdict") & pl.col("kept"))


def per_problem(simulations: pl.DataFrame, problems: Sequence[str]) -> dict[str, Floats]:
    """By measure, a value for each of `problems`.

    `right` paths; `distinct` ones, by text without surrounding white space; `solved` 0 or 1; `first_steps` the
    distinct first steps of right paths; `overlap` the mean share of its longer fellow's leading characters that two
    right answers have in common (0 with fewer than two).
    """
    found = {name: np.zeros(len(problems)) for name in ("right", "distinct", "solved", "first_steps", "overlap")}
    texts = dict(right_paths(simulations).group_by("problem_id").agg(
        pl.col("response").str.strip_chars()).iter_rows())  # fmt: skip
    for place, problem in enumerate(problems):
        answers = texts.get(problem, [])
        found["right"][place] = len(answers)
        found["distinct"][place] = len(set(answers))
        found["solved"][place] = bool(answers)
        found["first_steps"][place] = len({answer.split("\n", 1)[0] for answer in answers})
        found["overlap"][place] = prefix_overlap(answers)
    return found


def prefix_overlap(answers: Sequence[str]) -> float:
    """Mean over pairs of the shared prefix over the longer answer's length, in characters."""
    shares = [_shared(left, right) for left, right in combinations(answers, 2)]
    return sum(shares) / len(shares) if shares else 0.0


def _shared(left: str, right: str) -> float:
    if left == right:
        return 1.0
    alike = next((place for place, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
    return (min(len(left), len(right)) if alike is None else alike) / max(len(left), len(right))


def gini(scores: Floats, weights: Floats) -> Floats:
    """Gini coefficient over groups of scores/weights, each counted `weights` times: `[..., groups]` to `[...]`.

    A statistic for `paired_bootstrap` with every item its own group: 0 where all have equally many, near 1 where one
    has all; 0 too where none has any.
    """
    scores, weights = np.broadcast_arrays(np.asarray(scores, float), np.asarray(weights, float))
    values = np.divide(scores, weights, out=np.zeros(scores.shape), where=weights > 0)
    order = np.argsort(values, axis=-1, kind="stable")
    weight, value = np.take_along_axis(weights, order, -1), np.take_along_axis(values, order, -1)
    mass = np.cumsum(weight * value, axis=-1)
    total = mass[..., -1]
    # Twice the area under the Lorenz curve, by trapezoids.
    area = (weight * (2 * mass - weight * value)).sum(-1)
    shares = np.divide(area, total * weight.sum(-1), out=np.ones(total.shape), where=total > 0)
    return np.asarray(1 - shares)
