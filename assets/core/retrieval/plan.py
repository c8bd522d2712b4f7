"""What a BM25 index is made with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bm25Plan:
    """Parameters of BM25 and of its tokens; documents and queries share them.

    `k1` says how soon repetitions of a term stop counting, `b` how much a long document is discounted: 1.2 and 0.75,
    Lucene's and Elasticsearch's defaults. `stop_words` leaves out Lucene's 33 English ones (our default: keep them).
    """

    k1: float = 1.2
    b: float = 0.75
    stop_words: bool = False

    def __post_init__(self) -> None:
        if self.k1 < 0 or not 0 <= self.b <= 1:
            raise ValueError(f"{self}: k1 must not be negative, and b lies from 0 to 1")
