"""Repeated n-grams against a plain count over lists."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.internlm2.text.words import repetition, stop_words, word_measures, words_of

TEXTS = st.lists(st.lists(st.sampled_from(["a", "bc", "def", "我"]), max_size=25).map(" ".join), min_size=1, max_size=5)


def top_by_hand(words: list[str], n: int, blank: int) -> int:
    grams = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
    most = max(grams.values(), default=0)
    sizes = [count * (len("".join(gram)) + blank * (n - 1)) for gram, count in grams.items() if count == most > 1]
    return max(sizes, default=0)


def repeated_by_hand(words: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for start in range(len(words) - n + 1):
        gram = tuple(words[start : start + n])
        if gram in seen:
            covered |= set(range(start, start + n))
        seen.add(gram)
    return sum(len(words[place]) for place in covered)


@settings(max_examples=100, deadline=None)
@given(texts=TEXTS)
def test_repetition(texts: list[str]) -> None:
    """Documents of a batch do not touch each other; looking only where shorter n-grams repeat loses none."""
    words = words_of(pl.Series(texts))
    found = repetition(words, len(texts), [2, 3], [4, 5], blank=1)
    for text, row in zip(texts, found.iter_rows(named=True), strict=True):
        split = text.split()
        assert [row["top_2"], row["top_3"]] == [top_by_hand(split, n, 1) for n in (2, 3)]
        assert [row["repeated_4"], row["repeated_5"]] == [repeated_by_hand(split, n) for n in (4, 5)]


def test_words() -> None:
    """White space parts words; a character of an unspaced script is one; marks without letters do not count."""
    text = pl.Series(["one  two, —", "天气 good", "", "ราคา"])
    words = words_of(text)
    assert words["word"].to_list() == ["one", "two,", "—", "天", "气", "good", "ร", "า", "ค", "า"]
    measured = word_measures(words, 4)
    assert measured["all_words"].to_list() == [3, 3, 0, 4]
    assert measured["words"].to_list() == [2, 3, 0, 4]
    assert measured["mean_length"].to_list() == [3.5, 2, 0, 1]
    assert measured["unspaced"].to_list() == [False, True, False, True]


def test_stop_words() -> None:
    """Of each language's own list, each word once, as a whole word; null without a list."""
    texts = pl.Series(["the of the", "other off", "的 the", "of the"])
    found = stop_words(words_of(texts), pl.Series(["en", "en", "zh", "fr"]), {"en": ["the", "of"], "zh": ["的"]})
    assert found.to_list() == [2, 0, 1, None]
