"""Words of a text, the same for documents and queries."""

from __future__ import annotations

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
