"""Figures of ChainArith: PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping

from assets.core.plots import canvas, png

# Okabe and Ito's palette, safe for colour-blind readers; hatches repeat the distinction for black-and-white prints.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_HATCHES = ("", "//", "..", "xx", "--")


def plot_counts(problems: Mapping[str, Mapping[str, int]], label: str) -> bytes:
    """Shares of each split's problems by a value, `{split: {value: problems}}`: bars side by side."""
    figure, axes = canvas()
    values = sorted({value for found in problems.values() for value in found}, key=int)
    width = 0.8 / max(1, len(problems))
    for place, (split, found) in enumerate(problems.items()):
        total = sum(found.values())
        axes.bar(
            [x + (place - (len(problems) - 1) / 2) * width for x in range(len(values))],
            [found.get(value, 0) / max(1, total) for value in values],
            width, color=_COLOURS[place % len(_COLOURS)], hatch=_HATCHES[place % len(_HATCHES)],
            edgecolor="white", label=f"{split} ({total:,})",
        )  # fmt: skip
    axes.set_xticks(range(len(values)), values)
    axes.set(xlabel=label, ylabel="share of the split's problems")
    figure.legend(loc="outside upper center", ncols=len(problems), frameon=False)
    return png(figure)
