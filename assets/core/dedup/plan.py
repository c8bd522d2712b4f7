"""What near-duplicate removal is told: hash functions, shingles, bands, threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from assets.core.errors import InputError

if TYPE_CHECKING:
    from assets.core.dedup.shingles import Uint32s


@dataclass(frozen=True)
class MinHashPlan:
    """Parameters of MinHash-LSH. Signatures of different plans must not be compared."""

    n_hashes: int = 128
    """Hash functions, which is the length of a signature (InternLM2, §3.1.1)."""
    ngram: int = 5
    """Tokens in a shingle (InternLM2, §3.1.1)."""
    bands: int = 16
    """Groups of hash functions; documents that agree in a whole group are candidates (our default: with 8 functions
    each, half of the pairs at similarity 0.68 are found, close below the threshold)."""
    threshold: float = 0.7
    """Least estimated Jaccard similarity of duplicates, in (0, 1] (InternLM2, §3.1.1)."""
    tokens: Literal["words", "code"] = "words"
    """`words`: lower-cased words, no punctuation. `code`: identifiers and numbers in their case and every other visible
    character by itself; blanks, tabs and line ends never count. See `shingles.py`."""
    seed: int = 1
    """Chooses the hash functions (our default)."""

    def __post_init__(self) -> None:
        if min(self.n_hashes, self.ngram, self.bands) < 1 or self.n_hashes % self.bands:
            raise InputError(
                f"{self.n_hashes} hash functions in {self.bands} bands of {self.ngram}-grams",
                "set n_hashes to a multiple of bands, and all three to 1 or more",
            )
        if not 0 < self.threshold <= 1:
            raise InputError(f"threshold {self.threshold} is no similarity", "set threshold in (0, 1]")

    @property
    def rows(self) -> int:
        """Hash functions in a band."""
        return self.n_hashes // self.bands

    @property
    def least_agreement(self) -> int:
        """Equal entries of two signatures from which on they count as duplicates."""
        return math.ceil(self.threshold * self.n_hashes - 1e-9)

    def coefficients(self) -> tuple[Uint32s, Uint32s]:
        """Odd factors and summands, both `[n_hashes]`, of the hash functions `a x + b` modulo 2^32.

        With an odd factor each function is a permutation of the 32-bit shingles. The raw stream of PCG64 is the same
        in all versions of NumPy.
        """
        import numpy as np

        raw = (np.random.PCG64(self.seed).random_raw(2 * self.n_hashes) >> 32).astype(np.uint32)
        return raw[: self.n_hashes] | np.uint32(1), raw[self.n_hashes :]


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    """The chance that two documents of this similarity agree in at least one band: `1 - (1 - s^rows)^bands`."""
    return 1 - (1 - jaccard**rows) ** bands
