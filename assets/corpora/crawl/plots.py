"""Figures of a crawl: PNG bytes, 700 × 400 pixels."""

from __future__ import annotations

from collections.abc import Mapping

from assets.core.plots import canvas, png

SHOWN = 15


def plot_counts(pages: Mapping[str, int], what: str) -> bytes:
    """Pages by language or domain, the most frequent on top and what is not shown as one bar."""
    ordered = sorted(pages.items(), key=lambda item: (-item[1], item[0]))
    rest = ordered[SHOWN:]
    bars = ordered[:SHOWN] + ([(f"{len(rest):,} others", sum(count for _, count in rest))] if rest else [])
    figure, axes = canvas()
    # Names come from the web: no formulas.
    names = [(name or "none").replace("$", r"\$") for name, _ in reversed(bars)]
    axes.barh(range(len(bars)), [count for _, count in reversed(bars)], color="#0072B2")
    axes.set_yticks(range(len(bars)), names)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="0.9", linewidth=0.8)
    axes.set(xlabel="pages", title=f"{sum(pages.values()):,} pages of {len(pages):,} {what}s")
    return png(figure)
