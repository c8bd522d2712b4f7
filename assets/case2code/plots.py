"""Figures of a Case2Code comparison: PNG bytes, 700 × 400 pixels, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assets.core.plots import canvas, png

Floats = NDArray[np.float64]

# Okabe and Ito's palette; hatches and line styles repeat the distinction for black-and-white prints.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_HATCHES = ("", "//", "..", "xx", "\\\\", "++")
_STYLES = ("-", "--", "-.", ":")


def plot_accuracy(accuracy: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Execution accuracy by arm and form of prompt, `{arm: {form: one value per seed}}`; bars are means, dots seeds."""
    figure, axes = canvas()
    forms = list(dict.fromkeys(form for by_form in accuracy.values() for form in by_form))
    width = 0.8 / max(1, len(forms))
    for place, form in enumerate(forms):
        colour, label = _COLOURS[place % len(_COLOURS)], form
        for column, by_form in enumerate(accuracy.values()):
            if form not in by_form:
                continue
            values = np.asarray(by_form[form], dtype=float)
            centre = column + (place - (len(forms) - 1) / 2) * width
            axes.bar(
                centre,
                values.mean(),
                width * 0.92,
                color=colour,
                hatch=_HATCHES[place % 6],
                edgecolor="white",
                label=label,
            )
            axes.plot(np.full(len(values), centre), values, "o", color="0.15", markersize=3)
            label = "_"  # once in the legend
    axes.set_xticks(range(len(accuracy)), list(accuracy))
    axes.set(ylabel="problems solved on all hidden cases", ylim=(0, None))
    axes.legend(frameon=False)
    return png(figure)


def plot_losses(losses: Mapping[str, tuple[Floats, Floats]]) -> bytes:
    """Training loss by arm, `{arm: (tokens [points], loss [points])}`: arms train on other text, so only the shapes
    can be compared."""
    figure, axes = canvas()
    for place, (arm, (tokens, values)) in enumerate(losses.items()):
        axes.plot(tokens, values, color=_COLOURS[place % 6], linestyle=_STYLES[place % 4], label=arm)
    axes.set(xlabel="training tokens, prompts included", ylabel="training loss (nats per token)")
    axes.legend(frameon=False)
    return png(figure)
