"""How often a model that is asked several times is right: pass@k, G-Pass@k, mG-Pass@k and avg@n.

All are estimates from `n` samples of a problem of which `correct` are right, whole numbers or arrays of them (one of
each problem), and give an array of that shape. The score of a benchmark is the mean over its problems.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pass_at_k(n: ArrayLike, correct: ArrayLike, k: int) -> NDArray[np.float64]:
    """The unbiased estimate of the chance that at least one of `k` samples is right: 1 - C(n - correct, k)/C(n, k).

    As a product of `k` ratios, so that nothing overflows (Chen et al. 2021, arXiv 2107.03374). Raises ValueError unless
    1 <= k <= n and 0 <= correct <= n.
    """
    samples, right = _counts(n, correct, k)
    drawn = np.arange(k)
    # A numerator of nothing left to draw is 0, not negative: then every draw of k has a right sample.
    wrong_left = np.maximum((samples - right)[..., None] - drawn, 0)
    return 1 - np.prod(wrong_left / (samples[..., None] - drawn), axis=-1)


def g_pass_at_k(n: ArrayLike, correct: ArrayLike, k: int, threshold: float) -> NDArray[np.float64]:
    """The chance that at least ⌈threshold·k⌉ (and at least 1) of `k` samples, drawn without replacement, are right.

    `threshold` in [0, 1]: towards 0 it is pass@k, at 1 all must be right (G-Pass@k, as in OpenCompass). Raises
    ValueError as `pass_at_k`, and for another threshold.
    """
    from scipy.stats import hypergeom

    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold of G-Pass@{k} is a share between 0 and 1, not {threshold}")
    samples, right = _counts(n, correct, k)
    # 0.7 * 10 is 7.000000000000001 in floating point, and 7 of 10 are meant.
    needed = max(math.ceil(threshold * k - 1e-9), 1)
    return np.asarray(hypergeom.sf(needed - 1, samples, right, k), dtype=np.float64)


def mg_pass_at_k(n: ArrayLike, correct: ArrayLike, k: int) -> NDArray[np.float64]:
    """The mean of G-Pass@k over thresholds above one half: 2/k · Σ P(at least i are right), i from ⌈k/2⌉ + 1 to k.

    0 for k = 1, where the sum is empty. Raises ValueError as `pass_at_k`.
    """
    from scipy.stats import hypergeom

    samples, right = _counts(n, correct, k)
    needed = np.arange(math.ceil(k / 2) + 1, k + 1)
    chances = hypergeom.sf(needed - 1, samples[..., None], right[..., None], k)
    return np.asarray(2 / k * np.sum(chances, axis=-1), dtype=np.float64)


def avg_at_n(n: ArrayLike, correct: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The share of right samples, and the unbiased variance of a single sample's score (nan for n = 1).

    The variance divided by `n` is that of the share. Raises ValueError unless n >= 1 and 0 <= correct <= n.
    """
    samples, right = _counts(n, correct, 1)
    share = right / samples
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = share * (1 - share) * samples / (samples - 1)
    return share, variance


def _counts(n: ArrayLike, correct: ArrayLike, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    samples, right = np.broadcast_arrays(np.asarray(n, dtype=np.int64), np.asarray(correct, dtype=np.int64))
    if k < 1 or np.any(samples < k) or np.any(right < 0) or np.any(right > samples):
        raise ValueError(f"pass@{k}: k must be 1 to n, and no more be correct than sampled")
    return samples, right
