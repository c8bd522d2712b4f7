"""pass@k and its relatives, against exact fractions, published vectors and draws."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.pass_at_k import avg_at_n, g_pass_at_k, mg_pass_at_k, pass_at_k

VECTORS = Path(__file__).parents[4] / "shared/data/oracles/pass_at_k_exact.jsonl.gz"


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 9))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


def chance(n: int, correct: int, k: int, needed: int) -> float:
    """P(at least `needed` of `k` right), by listing every draw."""
    draws = list(combinations([1] * correct + [0] * (n - correct), k))
    return float(Fraction(sum(sum(draw) >= needed for draw in draws), len(draws)))


@pytest.mark.skipif(not VECTORS.exists(), reason="shared/data is not on this machine")
def test_public_vectors_are_met_exactly() -> None:
    """Public vectors, computed as fractions, in one vectorised call for each k."""
    with gzip.open(VECTORS, "rt") as lines:
        vectors = [json.loads(line) for line in lines]
    assert len(vectors) == 161
    for k in {vector["k"] for vector in vectors}:
        of_k = [vector for vector in vectors if vector["k"] == k]
        found = pass_at_k([vector["n"] for vector in of_k], [vector["c"] for vector in of_k], k)
        exact = [float(Fraction(vector["exact"])) for vector in of_k]
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-15)


def test_vectors_of_the_specification() -> None:
    """The values that the shared evaluation specification computes by hand."""
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3, abs=1e-15)
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252, abs=1e-15)
    assert pass_at_k(10, 8, 5) == 1
    assert g_pass_at_k(10, 8, 5, 1.0) == pytest.approx(56 / 252, abs=1e-15)


def test_pass_at_k_is_unbiased() -> None:
    """The mean of estimates from n samples is the true chance of k samples; the plug-in estimate's is not."""
    p, n, k = 0.15, 10, 5
    correct = np.random.default_rng(0).binomial(n, p, size=20_000)
    truth = 1 - (1 - p) ** k
    assert pass_at_k(n, correct, k).mean() == pytest.approx(truth, abs=0.006)
    assert abs(np.mean(1 - (1 - correct / n) ** k) - truth) > 0.03


@given(counts())
def test_all_draws_are_listed(case: tuple[int, int, int]) -> None:
    """pass@k, G-Pass@k and mG-Pass@k are the shares of all draws of k that have enough right samples."""
    n, correct, k = case
    assert pass_at_k(n, correct, k) == pytest.approx(chance(n, correct, k, 1), abs=1e-12)
    for needed in range(1, k + 1):
        assert g_pass_at_k(n, correct, k, needed / k) == pytest.approx(chance(n, correct, k, needed), abs=1e-12)
    upper = [chance(n, correct, k, needed) for needed in range(-(-k // 2) + 1, k + 1)]
    assert mg_pass_at_k(n, correct, k) == pytest.approx(2 / k * sum(upper), abs=1e-12)


@given(counts())
def test_thresholds_are_ordered(case: tuple[int, int, int]) -> None:
    """A threshold of 0 is pass@k, and a higher threshold is never easier."""
    n, correct, k = case
    found = [float(g_pass_at_k(n, correct, k, threshold)) for threshold in (0, 0.25, 0.5, 0.75, 1)]
    assert found[0] == pytest.approx(float(pass_at_k(n, correct, k)), abs=1e-12)
    assert found == sorted(found, reverse=True)


def test_a_threshold_is_not_rounded_up_by_floating_point() -> None:
    """0.7 · 10 is 7.000000000000001, yet 7 of 10 are enough."""
    assert g_pass_at_k(10, 7, 10, 0.7) == 1


def test_many_samples_do_not_overflow() -> None:
    """C(10000, 5000) is not a float; the product is."""
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)


def test_avg_at_n_has_the_variance_of_a_sample() -> None:
    """Share and variance are numpy's of the zeros and ones; one sample has no variance."""
    scores = np.array([1, 0, 0, 1, 1])
    share, variance = avg_at_n([5, 4], [3, 0])
    assert share.tolist() == [scores.mean(), 0]
    assert variance.tolist() == pytest.approx([scores.var(ddof=1), 0])
    assert np.isnan(avg_at_n(1, 1)[1])


@pytest.mark.parametrize(
    ("n", "correct", "k"), [(10, 1, 11), (10, 11, 1), (10, -1, 1), (10, 1, 0), ([10, 3], [1, 1], 4)]
)
def test_impossible_counts_are_refused(n: int, correct: int, k: int) -> None:
    """An estimate from fewer than k samples would be silently too high."""
    with pytest.raises(ValueError, match=f"pass@{k}"):
        pass_at_k(n, correct, k)
    with pytest.raises(ValueError, match="share between 0 and 1"):
        g_pass_at_k(10, 1, 5, 1.5)
