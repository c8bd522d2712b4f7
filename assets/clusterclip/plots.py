"""Figures of a ClusterClip comparison: PNG bytes, 700 × 400 pixels, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assets.clusterclip.measure import gini
from assets.core.plots import canvas, png

Floats = NDArray[np.float64]

# Okabe and Ito's palette; line styles and markers repeat the distinction for black-and-white prints.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
_STYLES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_cluster_sizes(sizes: Sequence[int] | NDArray[np.int64]) -> bytes:
    """Documents of each cluster from big to small, with the mean and the Gini coefficient."""
    ordered = np.sort(np.asarray(sizes))[::-1]
    figure, axes = canvas()
    axes.bar(np.arange(1, len(ordered) + 1), ordered, width=0.9, color=_COLOURS[0])
    axes.axhline(ordered.mean(), color=_COLOURS[5], linestyle="--", label=f"mean {ordered.mean():.0f}")
    if ordered[0] > 50 * max(1, ordered[-1]):
        axes.set_yscale("log")
    axes.set(xlabel="cluster, by size", ylabel="documents")
    axes.set_title(f"{len(ordered)} clusters, {ordered[-1]:,} to {ordered[0]:,} documents, Gini {gini(ordered):.2f}")
    axes.legend(frameon=False)
    return png(figure)


def plot_losses(losses: Mapping[str, tuple[Floats, Floats]]) -> bytes:
    """Training loss by plan, `{plan: (tokens [points], loss [seeds, points])}`; mean, band min to max."""
    figure, axes = canvas()
    for i, (plan, (tokens, values)) in enumerate(losses.items()):
        by_seed = np.atleast_2d(values)
        colour = _COLOURS[i % len(_COLOURS)]
        axes.plot(tokens, by_seed.mean(0), color=colour, linestyle=_STYLES[i % len(_STYLES)], label=plan)
        if len(by_seed) > 1:
            axes.fill_between(tokens, by_seed.min(0), by_seed.max(0), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="training tokens", ylabel="training loss (nats per token)")
    axes.legend(frameon=False)
    return png(figure)


def plot_cluster_bits(
    bits_per_byte: Mapping[str, Floats], training_tokens: Floats, *, baseline: str | None = None
) -> bytes:
    """Held-out bits per byte of each cluster against its training tokens: `{plan: values [clusters]}`.

    With a `baseline` plan the differences to it are shown: below zero is better than the baseline.
    """
    figure, axes = canvas()
    reference = np.zeros(len(training_tokens)) if baseline is None else bits_per_byte[baseline]
    for i, (plan, values) in enumerate(bits_per_byte.items()):
        if plan != baseline:
            colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
            change = values - reference
            axes.scatter(
                training_tokens,
                change,
                s=22,
                color=colour,
                marker=marker,
                alpha=0.8,
                linewidths=0,
                label=plan,
            )
    if baseline is not None:
        axes.axhline(0, color="0.4", linewidth=1)
    axes.set_xscale("log")
    axes.set(xlabel="training tokens of the cluster (rare on the left)")
    axes.set(ylabel="bits per byte" if baseline is None else f"bits per byte, difference to {baseline}")
    axes.legend(frameon=False)
    return png(figure)
