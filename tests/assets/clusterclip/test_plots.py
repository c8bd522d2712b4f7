"""Figures: right size, small, the same bytes for the same data."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from assets.clusterclip import plots


def figures() -> list[bytes]:
    rng = np.random.default_rng(0)
    tokens = np.linspace(1e4, 1e6, 20)
    plans = {p: 2 + 0.1 * rng.standard_normal(16) for p in ("random", "uniform", "clusterclip")}
    return [
        plots.plot_cluster_sizes(rng.integers(5, 4000, size=16)),
        plots.plot_cluster_sizes([9, 0, 3]),
        plots.plot_losses({p: (tokens, 3 + rng.standard_normal((3, 20))) for p in plans}),
        plots.plot_cluster_bits(plans, np.geomspace(1e3, 1e6, 16)),
        plots.plot_cluster_bits(plans, np.geomspace(1e3, 1e6, 16), baseline="random"),
    ]


def test_figures_are_small_readable_pngs() -> None:
    """Protects the metadata of assets: 700 by 400 pixels, below 150 kB, and something drawn in colour."""
    for png in figures():
        image = Image.open(io.BytesIO(png)).convert("RGB")
        assert image.size == (700, 400)
        assert len(png) < 150_000
        pixels = np.asarray(image).astype(int)
        assert (np.ptp(pixels, axis=2) > 60).sum() > 200


def test_equal_data_give_equal_bytes() -> None:
    """Protects content digests: no clock and no library version in the file."""
    assert figures() == figures()
    assert all(b"Software" not in png for png in figures())


def test_a_baseline_changes_the_picture() -> None:
    """Protects the difference plot: with a baseline its own points are gone and zero is marked."""
    made = figures()
    assert made[3] != made[4]
