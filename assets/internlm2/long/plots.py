"""Figures of the long-text pipeline: PNG bytes, 700 × 400 pixels, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assets.core.plots import canvas, png

Floats = NDArray[np.float64]
_COLOURS = ("#0072B2", "#E69F00", "#009E73")


def plot_values(values: Mapping[str, Floats], label: str) -> bytes:
    """Distributions of one measure by group, over the range that holds 98 % of all values."""
    figure, axes = canvas()
    everything = np.concatenate(list(values.values()))
    if len(everything):
        low, high = np.quantile(everything, [0.01, 0.99])
        edges = np.linspace(low, high if high > low else low + 1, 41).tolist()
        for (name, found), colour in zip(values.items(), _COLOURS, strict=False):
            axes.hist(found, edges, histtype="step", linewidth=2, color=colour, label=f"{name} ({len(found):,})")
        axes.legend(frameon=False)
    axes.set(xlabel=label, ylabel="documents")
    return png(figure)


def plot_losses(losses: Sequence[float], tokens_per_step: int) -> bytes:
    """Training loss over tokens."""
    figure, axes = canvas()
    axes.plot(np.arange(1, len(losses) + 1) * tokens_per_step, losses, color=_COLOURS[0])
    axes.set(xlabel="training tokens", ylabel="training loss (nats per token)")
    return png(figure)
