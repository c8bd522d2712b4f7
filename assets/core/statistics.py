"""Statistics of claims: paired intervals over seeds and items, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assets.core.errors import InputError

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats], Floats]
"""From sums of scores and sums of weights by group, both `[..., groups]`, to a value `[...]`. A group that a
resample left out has weight 0."""
Verdict = Literal["reproduced", "not_reproduced", "inconclusive"]

_CHUNK_ENTRIES = 1 << 22  # item weights held at once: 32 MiB of float64


@dataclass(frozen=True)
class PairedDifference:
    """Treatment minus baseline with its interval."""

    difference: float
    low: float
    high: float
    treatment: float
    baseline: float
    n_seeds: int
    n_items: int
    resamples: int
    confidence: float


def micro_mean(scores: Floats, weights: Floats) -> Floats:
    """Sum of scores over sum of weights, all groups together: bits per byte, if these are bits and bytes."""
    return np.asarray(scores.sum(-1) / weights.sum(-1))


def macro_mean(scores: Floats, weights: Floats) -> Floats:
    """Mean over groups of the group's scores over weights; every group counts the same."""
    return np.asarray(np.nanmean(_group_means(scores, weights), axis=-1))


def worst_quartile_mean(scores: Floats, weights: Floats) -> Floats:
    """Mean of the highest quarter of the group means (rounded up): the worst groups where lower is better."""
    means = _group_means(scores, weights)
    ordered = -np.sort(-means, axis=-1)  # NaN, a group left out, goes last
    count = -(-np.sum(~np.isnan(means), axis=-1, keepdims=True) // 4)
    worst = np.where(np.arange(means.shape[-1]) < count, ordered, 0.0)
    return np.asarray(worst.sum(-1) / count[..., 0])


def _group_means(scores: Floats, weights: Floats) -> Floats:
    means: Floats = np.divide(scores, weights, out=np.full(np.shape(scores), np.nan), where=weights > 0)
    return means


def paired_bootstrap(
    treatment: ArrayLike,
    baseline: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    statistic: Statistic = micro_mean,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Interval of statistic(treatment) - statistic(baseline) over resampled seeds and items (percentiles).

    `treatment` and `baseline` are `[seeds, items]` sums per item (bits, or 0/1 for correct), the same seeds
    and items in both: each resample uses one choice of seeds and of items for both arms. `weights[items]` is
    what a score is divided by (bytes; default 1). `groups[items]` are the groups of the statistic (default:
    one). Items are resampled within `strata[items]`, the strata by which they were sampled (default: the
    groups). Where items share a source, make the source the item: add up its scores and its weights.

    The statistic is taken per seed and averaged over seeds; both levels vary in each resample (our default).
    Items: n - 1 of n are drawn with replacement in a stratum and weighted n/(n - 1) (Rao & Wu 1988), which
    gives the unbiased variance in small strata; a stratum of one item never varies. Seeds: so few values
    cannot be resampled honestly (with 5 seeds a percentile interval holds the truth in 83 % of cases instead
    of 95 %), so their mean varies by Student's t with S - 1 degrees of freedom. The interval is wider than
    needed where noise of the single scores outweighs that of seeds and items. With one seed only the items
    vary, and it says nothing about other seeds.
    """
    arrays = [np.atleast_2d(np.asarray(arm, dtype=np.float64)) for arm in (treatment, baseline)]
    if arrays[0].shape != arrays[1].shape:
        raise InputError(
            f"the treatment has shape {arrays[0].shape}, the baseline {arrays[1].shape}",
            "score the same seeds and items in both arms",
        )
    scores = np.stack(arrays)
    n_seeds, n_items = scores.shape[1:]
    weight = np.ones(n_items) if weights is None else np.asarray(weights, dtype=np.float64)
    group = np.zeros(n_items, dtype=np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    stratum = group if strata is None else np.unique(strata, return_inverse=True)[1]
    _check(scores, weight, group, stratum)

    order = np.argsort(group, kind="stable")
    scores, weight, group, stratum = scores[:, :, order], weight[order], group[order], stratum[order]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])

    def arms(item_weights: Floats) -> Floats:
        """`[rows, items]` item weights → the statistic of each arm and seed, `[arms, seeds, rows]`."""
        denominators = np.add.reduceat(item_weights * weight, starts, axis=1)
        return np.array(
            [
                [statistic(np.add.reduceat(item_weights * row, starts, axis=1), denominators) for row in arm]
                for arm in scores
            ]
        )

    rng = np.random.default_rng(seed)
    point = arms(np.ones((1, n_items))).mean(axis=(1, 2))
    seed_weights = _seed_weights(n_seeds, resamples, rng)
    differences = np.empty(resamples)
    rows = max(1, _CHUNK_ENTRIES // n_items)
    for begin in range(0, resamples, rows):
        chunk = slice(begin, min(begin + rows, resamples))
        values = arms(_resample_weights(stratum, chunk.stop - begin, rng))
        differences[chunk] = ((values[0] - values[1]).T * seed_weights[chunk]).mean(axis=1)
    low, high = np.quantile(differences, [(1 - confidence) / 2, (1 + confidence) / 2])
    return PairedDifference(
        float(point[0] - point[1]), float(low), float(high), float(point[0]), float(point[1]),
        n_seeds, n_items, resamples, confidence,
    )  # fmt: skip


def _check(scores: Floats, weight: Floats, group: NDArray[np.int64], stratum: NDArray[np.int64]) -> None:
    n_items = scores.shape[2]
    if n_items == 0 or not len(weight) == len(group) == len(stratum) == n_items:
        raise InputError(
            f"{n_items} items, {len(weight)} weights, {len(group)} groups, {len(stratum)} strata",
            "give one entry of each per item, and at least one item",
        )
    if not np.isfinite(scores).all():
        arm, seed, item = np.argwhere(~np.isfinite(scores))[0]
        raise InputError(
            f"the {('treatment', 'baseline')[arm]} has no finite score for item {item} of seed {seed}",
            "score every item with every seed, or drop it from both arms",
        )
    if not (weight > 0).all():
        raise InputError(f"item {int(np.argmin(weight > 0))} has no positive weight", "drop items of size zero")


def _resample_weights(stratum: NDArray[np.int64], rows: int, rng: np.random.Generator) -> Floats:
    """Rao-Wu weights `[rows, items]`: n - 1 draws of n in each stratum, scaled so that they add up to n."""
    weights = np.ones((rows, len(stratum)))
    for label in np.unique(stratum):
        items = np.flatnonzero(stratum == label)
        n = len(items)
        if n > 1:
            weights[:, items] = rng.multinomial(n - 1, np.full(n, 1 / n), size=rows) * (n / (n - 1))
    return weights


def _seed_weights(n_seeds: int, rows: int, rng: np.random.Generator) -> Floats:
    """Multipliers `[rows, seeds]` of mean 1: a mean so weighted is Student t around the plain mean.

    With d the values of the seeds, s their standard deviation and S their number, mean(multipliers · d) is
    distributed as mean(d) + s/sqrt(S) · t with S - 1 degrees of freedom.
    """
    if n_seeds == 1:
        return np.ones((rows, 1))
    normal = rng.standard_normal((rows, n_seeds))
    centred = normal - normal.mean(axis=1, keepdims=True)
    freedom = n_seeds - 1
    scale = np.sqrt(rng.chisquare(freedom, size=(rows, 1)) / freedom)
    weights: Floats = 1 + np.sqrt(n_seeds / freedom) * centred / scale
    return weights


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) when nothing was tried."""
    from scipy.stats import binomtest

    if not 0 <= successes <= n:
        raise InputError(f"{successes} successes of {n}", "successes lie between 0 and n")
    if n == 0:
        return 0.0, 1.0
    interval = binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def verdict(low: float, high: float, *, n_seeds: int, min_seeds: int, direction: Literal["lower", "higher"]) -> Verdict:
    """Whether treatment - baseline has the claimed sign.

    Reproduced when the interval lies strictly on the claimed side of zero, not reproduced when strictly on
    the other; inconclusive when it holds zero, or when there are fewer than `min_seeds` seeds.
    """
    _check_interval(low, high)
    if n_seeds < min_seeds or low <= 0 <= high:
        return "inconclusive"
    return "reproduced" if (high < 0) == (direction == "lower") else "not_reproduced"


def verdict_not_worse(
    low: float,
    high: float,
    *,
    margin: float,
    n_seeds: int,
    min_seeds: int,
    better: Literal["lower", "higher"],
) -> Verdict:
    """Whether treatment is worse than baseline by less than `margin` (non-inferiority).

    "Not significantly worse" would be met by too little data. So the whole interval must lie on the better
    side of the margin to be reproduced; wholly beyond the margin it is not reproduced; else it is
    inconclusive. Choose the margin (≥ 0, in the unit of the difference) before looking at the data. Margin 0
    claims a strict improvement.
    """
    _check_interval(low, high)
    if margin < 0:
        raise InputError(f"margin is {margin}", "give the largest harm that does not matter, 0 or more")
    least, most = (low, high) if better == "lower" else (-high, -low)  # harm: positive is worse
    if n_seeds < min_seeds or least <= margin <= most:
        return "inconclusive"
    return "reproduced" if most < margin else "not_reproduced"


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a claim with several parts: one failed part fails it, and all must hold.

    No correction for several tests is due, since every part must succeed on its own (intersection-union
    test).
    """
    if not verdicts:
        raise InputError("a claim without parts has no verdict", "give at least one verdict")
    if "not_reproduced" in verdicts:
        return "not_reproduced"
    return "reproduced" if all(part == "reproduced" for part in verdicts) else "inconclusive"


def _check_interval(low: float, high: float) -> None:
    if not low <= high:  # NaN fails too
        raise InputError(f"the interval is [{low}, {high}]", "give finite bounds, the lower one first")
