"""Shares of characters against a plain count."""

from __future__ import annotations

import unicodedata
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.internlm2.text.characters import CLASSES, character_measures


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_shares(texts: list[str]) -> None:
    """The classes share out all but white space, and the commonest character is the commonest, of each text alone."""
    found = character_measures(pl.Series(texts))
    for text, row in zip(texts, found.iter_rows(named=True), strict=True):
        counted = Counter(character for character in text if not character.isspace())
        if not counted:
            assert set(row.values()) == {None}
            continue
        assert sum(row[name] for name in CLASSES) == pytest.approx(1)
        assert row["commonest"] == pytest.approx(max(counted.values()) / counted.total())
        letters = sum(count for each, count in counted.items() if unicodedata.category(each)[0] in "LM")
        assert row["letters"] == pytest.approx(letters / counted.total())
