"""Claim I2: the difference of perplexities finds badly joined text better than perplexity alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.claims.claim import Claim
from assets.core.statistics import PairedDifference, paired_bootstrap, verdict

Floats = NDArray[np.float64]

MIN_SEEDS = 3
HELD_EQUAL = "scorer, documents, halves (each in one true and one spliced document), lengths"
# What each filter calls well joined: the rows' column, and whether more of it is better.
DELTA, PPL, SHORT = ("ppl_delta", 1.0), ("ppl_wi", -1.0), ("ppl_wo", -1.0)
BASELINES = (
    (PPL, "absolute perplexity with the whole context"),
    (SHORT, "absolute perplexity with the short context"),
)


def long_claims(frames: Sequence[pl.DataFrame]) -> Iterator[Claim]:
    """The claim over the rows of `internlm2/long_scores`, a frame per seed; nothing where there is no row.

    Compared are the documents that every seed scored.
    """
    rows = [frame for frame in frames if frame.height]
    if not rows:
        return
    shared = sorted(set.intersection(*(set(frame["item_id"]) for frame in rows)))
    parents = tuple(sorted({name for frame in rows for name in frame["parents"].list.last()}))
    treatment = np.stack([_parts(frame, shared, *DELTA) for frame in rows])
    for (column, sign), baseline in BASELINES:
        found = paired_bootstrap(treatment, np.stack([_parts(frame, shared, column, sign) for frame in rows]))
        yield Claim(
            system="internlm2", claim="I2 perplexity difference finds badly joined text", metric="auc",
            baseline=baseline, treatment="perplexity difference", difference=found.difference, low=found.low,
            high=found.high, n_seeds=found.n_seeds, n_items=found.n_items, held_equal=HELD_EQUAL,
            verdict=verdict(found.low, found.high, n_seeds=found.n_seeds, min_seeds=MIN_SEEDS, direction="higher"),
            note=_note(found), parents=parents,
        )  # fmt: skip


def auc(true: Floats, spliced: Floats) -> float:
    """The chance that a true document scores higher than a spliced one; equal scores count half."""
    return float(auc_parts(true, spliced).mean())


def auc_parts(true: Floats, spliced: Floats) -> Floats:
    """What each item adds to the AUC, `[items]`: the mean is the AUC, and the spread of the mean is the AUC's.

    An item is a true document and the spliced one at the same place. DeLong's components (DeLong et al. 1988): the
    share of spliced documents that the true one beats, and of true documents that beat the spliced one, together and
    less the AUC once. So the AUC of resampled items needs only the mean of these parts, up to terms of second order.
    """
    of_true = _shares_below(true, spliced)
    of_spliced = 1 - _shares_below(spliced, true)
    parts: Floats = of_true + of_spliced - of_true.mean()
    return parts


def _shares_below(scores: Floats, others: Floats) -> Floats:
    """For each score the share of `others` below it, equal ones counted half."""
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, scores, side=side) for side in ("left", "right"))
    shares: Floats = (below + up_to) / (2 * len(others))
    return shares


def _parts(frame: pl.DataFrame, items: Sequence[str], column: str, sign: float) -> Floats:
    """`auc_parts` over `items`, in their order."""
    chosen = frame.filter(pl.col("item_id").is_in(list(items))).sort("item_id")
    true, spliced = (sign * chosen.filter(pl.col("label") == label)[column].to_numpy() for label in ("true", "spliced"))
    return auc_parts(true, spliced)


def _note(found: PairedDifference) -> str:
    few = f"{found.n_seeds} of at least {MIN_SEEDS} seeds; " if found.n_seeds < MIN_SEEDS else ""
    return f"{few}{found.treatment:.3f} against {found.baseline:.3f}"
