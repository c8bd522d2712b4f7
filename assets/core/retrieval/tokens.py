"""Words of a text, the same for documents and queries."""

from __future__ import annotations

import numpy as np
import polars as pl

# A run of letters, marks, digits and underscores; a Chinese character or hiragana is a word by itself, because nothing
# stands between such words. The classes are those of Unicode (the syntax is that of Rust's regex).
WORD = r"[\p{Han}\p{Hiragana}]|[\w--[\p{Han}\p{Hiragana}]]+"
# Lucene's EnglishAnalyzer.ENGLISH_STOP_WORDS_SET.
STOP_WORDS = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
]  # fmt: skip


def tokenize(texts: pl.Series, *, stop_words: bool = False) -> pl.Series:
    """Lower-cased words of every text, in order: a list of strings for each. No text has no words.

    With `stop_words` English ones are left out; they then count neither as terms nor in the length of a document.
    """
    words = texts.fill_null("").str.to_lowercase().str.extract_all(WORD)
    return words.list.filter(~pl.element().is_in(STOP_WORDS)) if stop_words else words


class Vocabulary:
    """Numbers of words, from 0 in the order of their first occurrence."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def encode(self, words: pl.Series) -> np.ndarray:
        """The number of every word (int32); new words get the next ones."""
        encoded = words.to_arrow().dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        numbers = self.numbers
        known = np.fromiter((numbers.setdefault(word, len(numbers)) for word in distinct), np.int32, len(distinct))
        return known[encoded.indices.to_numpy()]
