"""Postings: which document holds which term how often; and what each adds to a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from assets.core.retrieval.plan import Bm25Plan


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


def occurrences(terms: np.ndarray, lengths: np.ndarray, first_document: int) -> np.ndarray:
    """Every word as one integer: its term, then its document in the last 32 bits.

    `lengths` are the words of each document, whose numbers go on from `first_document`.
    """
    documents = np.repeat(np.arange(first_document, first_document + len(lengths)), lengths)
    return terms << 32 | documents


def count(words: np.ndarray) -> Postings:
    """Postings of words as `occurrences` gives them. Sorts the words in place."""
    words.sort()
    first = np.flatnonzero(np.diff(words, prepend=-1))
    frequencies = np.diff(first, append=len(words)).astype(np.uint32)
    distinct = words[first]
    return Postings((distinct >> 32).astype(np.uint32), distinct.astype(np.uint32), frequencies)


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
