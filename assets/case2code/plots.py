"""Figures of a Case2Code comparison: PNG bytes, 700 × 400 pixels, safe for colour-blind readers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

# Okabe and Ito's palette; hatches and line styles repeat the distinction for black-and-white prints.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_HATCHES = ("", "//", "..", "xx", "\\\\", "++")
_STYLES = ("-", "--", "-.", ":")


def plot_accuracy(accuracy: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Execution accuracy by arm and form of prompt, `{arm: {form: one value per seed}}`; bars are means, dots seeds."""
    figure, axes = _canvas()
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
    return _png(figure)


def plot_losses(losses: Mapping[str, tuple[Floats, Floats]]) -> bytes:
    """Training loss by arm, `{arm: (tokens [points], loss [points])}`: arms train on other text, so only the shapes
    can be compared."""
    figure, axes = _canvas()
    for place, (arm, (tokens, values)) in enumerate(losses.items()):
        axes.plot(tokens, values, color=_COLOURS[place % 6], linestyle=_STYLES[place % 4], label=arm)
    axes.set(xlabel="training tokens, prompts included", ylabel="training loss (nats per token)")
    axes.legend(frameon=False)
    return _png(figure)


def _canvas() -> tuple[Figure, Axes]:
    """A figure of its own: pyplot would keep global state and might look for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Figure) -> bytes:
    """PNG bytes without the library's version in them, so that equal figures are equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
