"""Figures of Knowledge Pile: PNG bytes, 700 × 400 pixels, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.core.plots import canvas, png

Floats = NDArray[np.float64]
# Okabe and Ito's palette; hatches repeat the distinction for black-and-white prints.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_HATCHES = ("", "//", "..")


def plot_queries(counts: pl.DataFrame) -> bytes:
    """Queries by round and kind; `counts` has kind, depth and len."""
    figure, axes = canvas()
    depths = sorted(counts["depth"].unique())
    below = np.zeros(len(depths))
    for place, kind in enumerate(counts["kind"].unique(maintain_order=True)):
        of_kind = dict(counts.filter(pl.col("kind") == kind).select("depth", "len").iter_rows())
        heights = np.array([of_kind.get(depth, 0) for depth in depths], dtype=float)
        axes.bar(
            depths, heights, bottom=below, color=_COLOURS[place], hatch=_HATCHES[place], edgecolor="white", label=kind
        )
        below += heights
    axes.set_xticks(depths, [f"round {depth}" if depth else "given" for depth in depths])
    axes.set(ylabel="queries")
    axes.legend(frameon=False)
    return png(figure)


def plot_hits(per_query: Sequence[int]) -> bytes:
    """How many passages the queries found."""
    figure, axes = canvas()
    axes.hist(per_query, bins=min(40, max(1, len(set(per_query)))), color=_COLOURS[0])
    axes.set(xlabel="passages found (at most top_k)", ylabel="queries")
    return png(figure)


def plot_funnel(steps: Mapping[str, int]) -> bytes:
    """What is left after each step, on a logarithmic scale."""
    figure, axes = canvas()
    names = list(steps)
    bars = axes.barh(names[::-1], [max(1, steps[name]) for name in reversed(names)], color=_COLOURS[0])
    axes.bar_label(bars, [f"{steps[name]:,}" for name in reversed(names)], padding=3)
    axes.set(xscale="log", xlabel="rows")
    return png(figure)


def plot_domain_share(share: Mapping[str, Sequence[float]], base_rate: float) -> bytes:
    """Share of the training tokens that are of the domain: bars are means, dots seeds, the line the whole pool."""
    figure, axes = canvas()
    for column, values in enumerate(share.values()):
        axes.bar(column, float(np.mean(values)), color=_COLOURS[column % len(_COLOURS)])
        axes.plot(np.full(len(values), column), values, "o", color="0.15", markersize=3)
    axes.axhline(base_rate, color="0.4", linestyle="--", label=f"pool {base_rate:.1%}")
    axes.set_xticks(range(len(share)), list(share))
    axes.set(ylabel="share of tokens from the domain", ylim=(0, 1.05))
    axes.legend(frameon=False)
    return png(figure)


def plot_loss(tokens: Floats, loss: Floats) -> bytes:
    """Training loss over tokens."""
    figure, axes = canvas()
    axes.plot(tokens, loss, color=_COLOURS[0])
    axes.set(xlabel="training tokens", ylabel="training loss (nats per token)")
    return png(figure)
