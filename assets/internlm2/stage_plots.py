"""Figures of claim I1: PNG bytes, 700 × 400 pixels, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from assets.core.dedup import MinHashPlan, candidate_probability
from assets.core.plots import canvas, png
from assets.internlm2.stages import detection_probability

_BLUE, _ORANGE = "#0072B2", "#E69F00"


def plot_curve(groups: pl.DataFrame, plan: MinHashPlan) -> bytes:
    """Found pairs of each planned similarity (`duplicate_groups`), on the curves of bands alone and confirmed."""
    figure, axes = canvas()
    similarities = [step / 100 for step in range(40, 101)]
    candidates = [candidate_probability(each, plan.bands, plan.rows) for each in similarities]
    axes.plot(similarities, candidates, "--", color="0.5", label="candidates of the bands")
    expected = [detection_probability(each, plan) for each in similarities]
    axes.plot(similarities, expected, color=_BLUE, label="confirmed by the signatures")
    shares = groups.group_by("planned").agg(pl.col("linked").mean()).sort("planned")
    axes.plot(shares["planned"], shares["linked"], "o", color=_ORANGE, label="found")
    axes.set(xlabel="Jaccard similarity of word 5-grams", ylabel="share of pairs", ylim=(-0.02, 1.05))
    axes.legend(frameon=False)
    return png(figure)


def plot_removed(removed: Mapping[str, float], stages: Sequence[str]) -> bytes:
    """The share of each defect that its stage removes, as bars; `stages` name the defects' stages."""
    figure, axes = canvas()
    names = [f"{stage}: {defect}" for stage, defect in zip(stages, removed, strict=True)]
    axes.barh(names[::-1], list(removed.values())[::-1], color=_BLUE)
    axes.set(xlabel="share removed by its stage", xlim=(0, 1))
    return png(figure)
