"""Texts whose similarity is known, for the tests of near-duplicates."""

from __future__ import annotations

import numpy as np

# Shingles of a document and shared ones, by the Jaccard similarity that they make: shared / (2 own - shared).
OWN_AND_SHARED = {0.5: (150, 100), 0.6: (160, 120), 0.7: (170, 140), 0.8: (180, 160), 0.9: (190, 180)}


def words(rng: np.random.Generator, n_words: int) -> list[str]:
    """Words that no other document has."""
    return [f"{number:x}" for number in rng.integers(2**60, size=n_words)]


def pair(rng: np.random.Generator, similarity: float) -> tuple[str, str]:
    """Two texts of exactly this similarity by word 5-grams; the similarity is one of `OWN_AND_SHARED`."""
    own, shared = OWN_AND_SHARED[similarity]
    prefix = words(rng, shared + 4)
    first, second = (" ".join(prefix + words(rng, own - shared)) for _ in range(2))
    return first, second
