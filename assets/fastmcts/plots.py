"""Figures of a FastMCTS search: PNG bytes, 700 × 400 pixels, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from assets.core.plots import canvas, png
from assets.fastmcts.tree import ROOT, Step, Tree

# Okabe and Ito's palette; markers and line styles repeat the distinction for black-and-white prints.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_HATCHES = ("", "//", "..", "xx")
# More nodes than this are specks: the youngest simulations are then left out.
_MOST_NODES = 90
_MOST_LABELS = 40


def plot_tree(tree: Tree, text: Callable[[Step], str]) -> bytes:
    """A tree from its root on the left: size says visits, colour the score from wrong (blue) to right (orange);
    squares end an answer."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("score", [_COLOURS[0], "#F0F0F0", _COLOURS[1]])
    shown = tree.nodes[:_MOST_NODES]
    heights = _heights(tree, len(shown))
    figure, axes = canvas()
    for place, node in enumerate(shown):
        if node.parent is not None:
            axes.plot(
                [node.depth - 1, node.depth],
                [heights[node.parent], heights[place]],
                color="0.7",
                linewidth=0.8,
                zorder=1,
            )
        axes.scatter(
            node.depth, heights[place], s=18 + 8 * min(node.visits, 25), color=colours(node.score), zorder=2,
            marker="s" if node.terminal else "o", edgecolors="0.3", linewidths=0.6,
        )  # fmt: skip
        if len(shown) <= _MOST_LABELS and place != ROOT:
            axes.annotate(
                text(node.step).strip(),
                (node.depth, heights[place]),
                xytext=(5, 3),
                textcoords="offset points",
                fontsize=6,
            )
    left_out = f" (the first {len(shown)} of {len(tree.nodes)} nodes)" if len(shown) < len(tree.nodes) else ""
    axes.set(xlabel=f"steps{left_out}", yticks=[])
    axes.grid(visible=False)
    return png(figure)


def _heights(tree: Tree, count: int) -> list[float]:
    """Leaves one under the other, each other node amid its children; of the first `count` nodes."""
    heights, row = [0.0] * count, 0

    def place(node: int) -> float:
        nonlocal row
        children = [child for child in tree.nodes[node].children if child < count]
        if children:
            below = [place(child) for child in children]
            heights[node] = sum(below) / len(below)
        else:
            heights[node], row = -float(row), row + 1
        return heights[node]

    place(ROOT)
    return heights


def plot_curves(curves: Mapping[str, Mapping[float, Sequence[float]]], *, x: str, y: str) -> bytes:
    """`{name: {x: one value per seed}}` as lines through the means, with a dot per seed."""
    figure, axes = canvas()
    for place, (name, points) in enumerate(curves.items()):
        colour, marker = _COLOURS[place % 6], _MARKERS[place % 6]
        xs = sorted(points)
        axes.plot(xs, [sum(points[each]) / len(points[each]) for each in xs], color=colour, marker=marker, label=name)
        for each in xs:
            axes.plot([each] * len(points[each]), points[each], ".", color=colour, markersize=4, alpha=0.6)
    axes.set(xlabel=x, ylabel=y, ylim=(0, None))
    axes.legend(frameon=False)
    return png(figure)


def plot_bars(bars: Mapping[str, Mapping[str, float]], *, x: str, y: str) -> bytes:
    """`{name: {group: value}}` as bars side by side."""
    figure, axes = canvas()
    groups = list(dict.fromkeys(group for values in bars.values() for group in values))
    width = 0.8 / max(1, len(bars))
    for place, (name, values) in enumerate(bars.items()):
        axes.bar(
            [column + (place - (len(bars) - 1) / 2) * width for column in range(len(groups))],
            [values.get(group, 0.0) for group in groups],
            width * 0.95, color=_COLOURS[place % 6], hatch=_HATCHES[place % 4], edgecolor="white", label=name,
        )  # fmt: skip
    axes.set_xticks(range(len(groups)), groups)
    axes.set(xlabel=x, ylabel=y)
    axes.legend(frameon=False)
    return png(figure)
