"""What counts as a word."""

from __future__ import annotations

import polars as pl
import pytest

from assets.core.retrieval.tokens import tokenize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The CAT's x_1, C++ 3.5e2!", ["the", "cat", "s", "x_1", "c", "3", "5e2"]),
        ("Straße naïve ΣΟΦΟΣ", ["straße", "naïve", "σοφος"]),
        ("我喜欢python编程", ["我", "喜", "欢", "python", "编", "程"]),
        ("ひらカタカナ", ["ひ", "ら", "カタカナ"]),
        ("… -- 🙂", []),
        ("", []),
        (None, []),
    ],
)
def test_words(text: str | None, words: list[str]) -> None:
    """Lower-cased runs of letters, digits and underscores of any script; Chinese characters one by one."""
    assert tokenize(pl.Series([text], dtype=pl.String)).to_list() == [words]


def test_stop_words_are_left_out_when_asked() -> None:
    """English stop words go; order and repetitions of the others stay."""
    texts = pl.Series(["The dog of the dog", "the of"])
    assert tokenize(texts, stop_words=True).to_list() == [["dog", "dog"], []]
    assert tokenize(texts).to_list()[1] == ["the", "of"]
