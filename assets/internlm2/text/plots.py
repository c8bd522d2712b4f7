"""Figures of the text pipeline: PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assets.core.plots import canvas, png
from assets.internlm2.text.funnel import Stage

_BLUE, _ORANGE, _GREY = "#0072B2", "#E69F00", "#999999"  # Okabe and Ito
_NAMED = 4  # reasons of a stage that have room above its bar
_BAR = 0.5  # height of a bar; the rest is for the reasons


def plot_funnel(stages: Sequence[Stage]) -> bytes:
    """A bar for each stage: documents kept and dropped, with the commonest reasons."""
    figure, axes = canvas()
    places = np.arange(len(stages))
    kept = np.array([stage.kept for stage in stages])
    dropped = np.array([sum(stage.dropped.values()) for stage in stages])
    axes.barh(places, kept, _BAR, color=_BLUE, label="kept")
    axes.barh(places, dropped, _BAR, left=kept, color=_ORANGE, hatch="//", edgecolor="white", label="dropped")
    for place, stage in enumerate(stages):
        reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in list(stage.dropped.items())[:_NAMED])
        axes.annotate(
            f"dropped: {reasons or 'none'}",
            (0, place - _BAR / 2),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_yticks(places, [f"{stage.name}\n{stage.kept:,} of {stage.rows_in:,}" for stage in stages])
    axes.set_ylim(len(stages) - 0.5, -0.7)
    axes.set(xlabel="documents")
    axes.legend(frameon=False, loc="lower right")
    return png(figure)


def plot_scores(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float, title: str) -> bytes:
    """How the scores of good and of bad texts are spread, and where the threshold lies."""
    figure, axes = canvas()
    bins = np.linspace(0, 1, 41).tolist()
    axes.hist(scores[labels == 0], bins, color=_BLUE, alpha=0.7, label="good")
    axes.hist(scores[labels == 1], bins, color=_ORANGE, alpha=0.7, hatch="//", edgecolor="white", label="bad")
    axes.axvline(threshold, color=_GREY, linestyle="--", label=f"threshold {threshold:g}")
    axes.set(xlabel="probability of the bad class", ylabel="texts", title=title)
    axes.legend(frameon=False)
    return png(figure)
