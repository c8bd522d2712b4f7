"""Pictures are drawn, and equal data make equal bytes."""

from __future__ import annotations

from assets.fastmcts.plots import plot_bars, plot_curves, plot_tree
from assets.fastmcts.tree import ROOT, Rule, Tree

PNG = b"\x89PNG"


def grown(count: int) -> Tree:
    tree = Tree()
    for iteration in range(count):
        tree.add(ROOT if iteration % 2 else tree.select(Rule()), [(1,), (2,)], iteration % 3 == 0, iteration, Rule())
    return tree


def test_trees_of_any_size() -> None:
    """A problem without simulations, a labelled tree, and one too large to show whole."""
    for count in (0, 4, 80):
        picture = plot_tree(grown(count), lambda step: str(step))
        assert picture.startswith(PNG)
        assert picture == plot_tree(grown(count), lambda step: str(step))


def test_curves_and_bars() -> None:
    """One value per seed and point; groups that an arm lacks are empty."""
    assert plot_curves({"a": {0.5: [1.0, 2.0], 1.0: [2.0, 3.0]}}, x="x", y="y").startswith(PNG)
    assert plot_bars({"a": {"2": 1.0}, "b": {"2": 2.0, "3": 0.5}}, x="x", y="y").startswith(PNG)
