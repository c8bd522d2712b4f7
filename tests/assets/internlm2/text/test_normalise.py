"""Normalisation has one result for equal text, and changes nothing twice."""

from __future__ import annotations

import unicodedata

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.internlm2.text.normalise import normalise


def normal(*texts: str) -> list[str]:
    return normalise(pl.DataFrame({"text": list(texts), "n_bytes": 0}))["text"].to_list()


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """The result is composed, without controls, and its own normal form."""
    (once,) = normal(text)
    assert normal(once) == [once]
    assert unicodedata.is_normalized("NFC", once)
    assert not any(unicodedata.category(character) == "Cc" for character in once if character != "\n")


def test_forms() -> None:
    """Line ends, blanks, unseen characters and composition."""
    assert normal("a\r\nb\rc\u2028d\x0be") == ["a\nb\nc\nd\ne"]
    assert normal("a\t \u3000b\xa0\n\n\n\n  c  ") == ["a b\n\n  c"]
    assert normal("soft\u00adhy\u200bphen\ufeff\x00", "cafe\u0301") == ["softhyphen", "café"]


def test_joiners_are_text() -> None:
    """Persian and emoji are written with them."""
    assert normal("می\u200cخواهم") == ["می\u200cخواهم"]


def test_bytes_are_counted_anew() -> None:
    """`n_bytes` is that of the normalised text."""
    assert normalise(pl.DataFrame({"text": ["é\r\n\r\n"], "n_bytes": 9}))["n_bytes"].item() == 2
