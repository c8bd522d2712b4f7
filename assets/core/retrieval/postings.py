"""Postings: which document holds which term how often; and what each adds to a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.core.retrieval.plan import Bm25Plan
from assets.core.retrieval.tokens import tokenize


class Vocabulary:
    """Numbers of terms in the order of their first occurrence, and how many documents hold each."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def encode(self, words: pl.Series) -> np.ndarray:
        """The number of every word; new words get the next ones."""
        encoded = words.to_arrow().dictionary_encode()
        numbers = self.numbers
        terms = encoded.dictionary.to_pylist()
        known = np.fromiter((numbers.setdefault(term, len(numbers)) for term in terms), np.int64, len(terms))
        return known[encoded.indices.to_numpy()]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Postings:
    """Of each posting its term, document and frequency, ordered by term, then by document."""

    terms: np.ndarray
    documents: np.ndarray
    frequencies: np.ndarray


def read_words(texts: pl.Series, vocabulary: Vocabulary, plan: Bm25Plan) -> tuple[np.ndarray, np.ndarray]:
    """The term of every word of all texts, and the number of words of each text."""
    words = tokenize(texts, stop_words=plan.stop_words)
    lengths = words.list.len().to_numpy()
    return vocabulary.encode(words.explode(empty_as_null=False)), lengths


def count(terms: np.ndarray, documents: np.ndarray) -> Postings:
    """Postings of words, given the term and the document of each."""
    # One integer a word: sorting it is several times faster than sorting by two columns.
    words = np.sort(terms.astype(np.int64) << 32 | documents)
    first = np.flatnonzero(np.diff(words, prepend=-1))
    frequencies = np.diff(first, append=len(words)).astype(np.uint32)
    distinct = words[first]
    return Postings(distinct >> 32, (distinct & 0xFFFFFFFF).astype(np.uint32), frequencies)


def inverse_document_frequency(holding: np.ndarray, n_documents: int) -> np.ndarray:
    """ln(1 + (N - n + 0.5) / (n + 0.5)) for terms that n of N documents hold: Lucene's, above 0 for every term."""
    return np.log1p((n_documents - holding + 0.5) / (holding + 0.5))


def term_scores(
    frequencies: np.ndarray, lengths: np.ndarray, average_length: float, idf: np.ndarray, plan: Bm25Plan
) -> np.ndarray:
    """What each posting adds to the score of its document.

    idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / average length)): BM25 with the factor (k1 + 1), which Lucene
    left out from version 8 on; it changes no order.
    """
    norm = plan.k1 * (1 - plan.b + plan.b * lengths / average_length)
    return (idf * frequencies * (plan.k1 + 1) / (frequencies + norm)).astype(np.float32)
