"""BM25 written out from its formula, one document and one word at a time, in double precision."""

from __future__ import annotations

import math
from collections.abc import Sequence


def bm25(query: Sequence[str], documents: Sequence[Sequence[str]], k1: float = 1.2, b: float = 0.75) -> list[float]:
    """The score of every document for a query; both are words."""
    n = len(documents)
    average = sum(map(len, documents)) / n
    scores = []
    for document in documents:
        score = 0.0
        for word in query:
            holding = sum(word in other for other in documents)
            f = document.count(word)
            idf = math.log(1 + (n - holding + 0.5) / (holding + 0.5))
            score += idf * f * (k1 + 1) / (f + k1 * (1 - b + b * len(document) / average)) if f else 0.0
        scores.append(score)
    return scores
