"""The picture of pages by language or domain."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.image import imread

from assets.corpora.crawl.plots import plot_counts


def test_any_name_and_number_can_be_drawn() -> None:
    """Names come from the web: dollars and blanks, more than can be shown, none at all; equal counts, equal bytes."""
    many = {f"${number}$": number for number in range(50)} | {"": 3}
    for counts in (many, {}):
        picture = imread(io.BytesIO(plot_counts(counts, "domain")))
        assert picture.shape[:2] == (400, 700)
        assert plot_counts(counts, "domain") == plot_counts(dict(reversed(counts.items())), "domain")
    assert np.ptp(imread(io.BytesIO(plot_counts(many, "domain")))) > 0
