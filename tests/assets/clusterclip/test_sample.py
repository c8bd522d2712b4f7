"""The sampler: exact budgets, the repetition limit, the law of the draws, and equalities between plans."""

from __future__ import annotations

import math
import time
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from assets.clusterclip.sample import Draws, Plan, active_clusters, sample_documents
from assets.core.errors import InputError


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Clusters (not numbered without gaps, some of one document) and token counts."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cluster = rng.permutation(np.repeat(np.arange(len(sizes)) * 3 + 2, sizes))
    return cluster, rng.integers(1, 50, size=len(cluster))


def skewed(seed: int = 0, n: int = 2000, k: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of Zipf sizes."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, k + 1)
    return rng.choice(k, size=n, p=share / share.sum()), rng.integers(20, 400, size=n)


def equal(one: Draws, two: Draws) -> bool:
    return all(np.array_equal(getattr(one, f.name), getattr(two, f.name)) for f in fields(Draws))


@settings(max_examples=150, deadline=None)
@given(data=collections(), limit=st.integers(1, 6), share=st.floats(0.001, 1), seed=st.integers(0, 2**64))
def test_clusterclip_keeps_its_promises(
    data: tuple[np.ndarray, np.ndarray], limit: int, share: float, seed: int
) -> None:
    """Protects the clip: at most R repetitions, numbered in order; exact budget; one cut draw, the last."""
    cluster, n_tokens = data
    budget = max(1, int(share * limit * n_tokens.sum()))
    draws = sample_documents(
        cluster, n_tokens, budget_tokens=budget, plan="clusterclip", max_repetitions=limit, seed=seed
    )
    assert draws.n_tokens.sum() == budget
    assert np.array_equal(draws.cluster, cluster[draws.document])
    assert np.array_equal(draws.n_tokens[:-1], n_tokens[draws.document[:-1]])
    assert 1 <= draws.n_tokens[-1] <= n_tokens[draws.document[-1]]
    assert draws.repetition.max() <= limit
    assert not draws.fallback.any()
    for document in np.unique(draws.document):
        times = draws.repetition[draws.document == document]
        assert np.array_equal(times, np.arange(1, len(times) + 1))
    for label in np.unique(draws.cluster):  # a pass ends before the next begins
        assert np.all(np.diff(draws.repetition[draws.cluster == label]) >= 0)


@settings(max_examples=60, deadline=None)
@given(data=collections(), limit=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_budget_equal_to_the_capacity_uses_every_document_r_times(
    data: tuple[np.ndarray, np.ndarray], limit: int, seed: int
) -> None:
    """Protects removal: a cluster leaves after exactly R passes, never before; one token more is refused."""
    cluster, n_tokens = data
    capacity = limit * int(n_tokens.sum())
    draws = sample_documents(
        cluster, n_tokens, budget_tokens=capacity, plan="clusterclip", max_repetitions=limit, seed=seed
    )
    assert np.all(np.bincount(draws.document, minlength=len(cluster)) == limit)
    with pytest.raises(InputError, match=f"budget of {capacity + 1} .* capacity of {capacity} "):
        sample_documents(
            cluster,
            n_tokens,
            budget_tokens=capacity + 1,
            plan="clusterclip",
            max_repetitions=limit,
            seed=seed,
        )


@settings(max_examples=60, deadline=None)
@given(data=collections(), epochs=st.floats(0.1, 8), limit=st.integers(1, 5), seed=st.integers(0, 1000))
def test_plans_agree_where_they_must(data: tuple[np.ndarray, np.ndarray], epochs: float, limit: int, seed: int) -> None:
    """Protects the arms: equal tokens; R = ∞ is uniform; s2g is clusterclip reversed."""
    cluster, n_tokens = data
    budget = max(1, int(epochs * n_tokens.sum()))
    uniform = sample_documents(cluster, n_tokens, budget_tokens=budget, plan="uniform", seed=seed)
    without_limit = sample_documents(
        cluster, n_tokens, budget_tokens=budget, plan="clusterclip", max_repetitions=math.inf, seed=seed
    )
    assert equal(uniform, without_limit)
    plans: tuple[Plan, Plan] = ("clusterclip", "s2g")
    forward, backward = (
        sample_documents(
            cluster,
            n_tokens,
            budget_tokens=budget,
            plan=plan,
            max_repetitions=limit,
            on_exhausted="random",
            seed=seed,
        )
        for plan in plans
    )
    for name in ("document", "cluster", "n_tokens", "fallback"):
        assert np.array_equal(getattr(backward, name), getattr(forward, name)[::-1])
    for document in np.unique(backward.document):
        times = backward.repetition[backward.document == document]
        assert np.array_equal(times, np.arange(1, len(times) + 1))
    randomly = sample_documents(cluster, n_tokens, budget_tokens=budget, plan="random", seed=seed)
    assert {int(d.n_tokens.sum()) for d in (uniform, forward, backward, randomly)} == {budget}


@pytest.mark.parametrize("plan", ["random", "clusterclip"])
def test_one_cluster_is_random_without_replacement(plan: Plan) -> None:
    """Protects the case K = 1: each pass holds every document once, and no two passes have the same order."""
    n_tokens = np.full(50, 10)
    draws = sample_documents(
        np.zeros(50, dtype=int),
        n_tokens,
        budget_tokens=50 * 10 * 6,
        plan=plan,
        seed=4,
    )
    passes = draws.document.reshape(6, 50)
    assert np.all(np.sort(passes, axis=1) == np.arange(50))
    assert len({tuple(p) for p in passes}) == 6
    assert np.array_equal(draws.repetition.reshape(6, 50), np.repeat(np.arange(1, 7), 50).reshape(6, 50))


def test_random_passes_are_uniform_over_permutations() -> None:
    """Protects the shuffle: all 24 orders of four documents are equally likely (12,000 passes)."""
    draws = sample_documents(np.zeros(4, dtype=int), np.ones(4, dtype=int), budget_tokens=48_000, plan="random", seed=1)
    codes = draws.document.reshape(-1, 4) @ np.array([64, 16, 4, 1])
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 24
    assert chisquare(counts).pvalue > 0.001


def test_share_of_a_cluster_is_one_over_the_active_clusters() -> None:
    """Protects the law: while A is constant each cluster has the share 1/|A|, neighbours independent."""
    cluster = np.repeat(np.arange(6), [2, 2, 40, 4000, 4000, 4000])
    draws = sample_documents(
        cluster,
        np.ones(len(cluster), dtype=int),
        budget_tokens=20_000,
        plan="clusterclip",
        max_repetitions=5,
        seed=3,
    )
    active = active_clusters(cluster, draws, 5)
    assert active[0] == 6
    assert active[-1] == 3
    assert np.all(np.diff(active) <= 0)
    for size in (4, 3):
        counts = np.bincount(draws.cluster[active == size])
        counts = counts[counts > 0]
        if size == 4:  # the third cluster's last draw ends the phase, so its count is not free
            counts = counts[1:]
        assert len(counts) == 3
        assert chisquare(counts).pvalue > 0.001
    tail = draws.cluster[active == 3] - 3
    pairs = np.bincount(tail[:-1:2][: len(tail[1::2])] * 3 + tail[1::2])
    assert len(tail) > 10_000
    assert chisquare(pairs).pvalue > 0.001


def test_first_draws_are_uniform_over_clusters_not_documents() -> None:
    """Protects the difference between the plans: over seeds, uniform gives 1/K a cluster and random n_k/N."""
    cluster = np.repeat(np.arange(4), [1, 3, 6, 10])
    n_tokens = np.ones(20, dtype=int)

    def first(plan: Plan) -> np.ndarray:
        draws = (sample_documents(cluster, n_tokens, budget_tokens=1, plan=plan, seed=s) for s in range(800))
        return np.bincount([int(d.cluster[0]) for d in draws], minlength=4)

    assert chisquare(first("uniform")).pvalue > 0.001
    by_size = first("random")
    assert chisquare(by_size, 800 * np.array([1, 3, 6, 10]) / 20).pvalue > 0.001
    assert chisquare(by_size).pvalue < 1e-6


def test_a_cluster_is_drawn_until_its_last_pass_ends_and_never_again() -> None:
    """Protects the moment of removal, against a plain draw-by-draw rule kept beside the plan."""
    cluster, n_tokens = skewed()
    draws = sample_documents(
        cluster,
        n_tokens,
        budget_tokens=2 * int(n_tokens.sum()),
        plan="clusterclip",
        max_repetitions=3,
        seed=9,
    )
    drawn = dict.fromkeys(range(20), 0)
    tokens = np.bincount(cluster, weights=n_tokens)
    active = active_clusters(cluster, draws, 3)
    for k, count, n_active in zip(draws.cluster, draws.n_tokens, active, strict=True):
        still = [c for c in drawn if drawn[c] / tokens[c] < 3]
        assert k in still
        assert len(still) == n_active
        drawn[int(k)] += int(count)
    assert active[-1] < 20


def test_limits_share_a_beginning_and_budgets_a_sequence() -> None:
    """Protects pairing: R = 2 equals R = 5 up to the first removal, and a larger budget only appends."""
    cluster, n_tokens = skewed(1)
    total = int(n_tokens.sum())

    def plan(limit: float, budget: int) -> Draws:
        return sample_documents(
            cluster, n_tokens, budget_tokens=budget, plan="clusterclip", max_repetitions=limit, seed=5
        )

    two, five = plan(2, 2 * total), plan(5, 2 * total)
    constant = int(np.sum(active_clusters(cluster, two, 2) == 20))
    assert 20 < constant < len(two)
    assert np.array_equal(two.document[:constant], five.document[:constant])
    assert not np.array_equal(two.document[: constant + 200], five.document[: constant + 200])
    short = plan(5, total // 3)
    assert np.array_equal(short.document, five.document[: len(short)])


def test_seeds_and_plans_have_streams_of_their_own() -> None:
    """Protects independence: another seed, or another plan's stream, gives another order."""
    cluster = np.zeros(500, dtype=int)
    n_tokens = np.ones(500, dtype=int)

    def order(plan: Plan, seed: int) -> np.ndarray:
        return sample_documents(
            cluster,
            n_tokens,
            budget_tokens=500,
            plan=plan,
            seed=seed,
        ).document

    assert np.array_equal(order("random", 1), order("random", 1))
    agreements = [
        np.mean(order("random", 1) == order("random", 2)),
        np.mean(order("random", 1) == order("uniform", 1)),
    ]
    assert max(agreements) < 0.05


def test_fallback_is_marked_and_random() -> None:
    """Protects honesty: draws beyond the capacity are flagged, numbered above R, and pass over everything."""
    cluster, n_tokens = skewed(2, n=300)
    total = int(n_tokens.sum())
    draws = sample_documents(
        cluster,
        n_tokens,
        budget_tokens=3 * total,
        plan="clusterclip",
        max_repetitions=2,
        on_exhausted="random",
        seed=1,
    )
    assert np.array_equal(draws.fallback, np.arange(900) >= 600)
    assert np.array_equal(np.sort(draws.document[600:]), np.arange(300))
    assert np.all(draws.repetition[600:] == 3)
    assert np.all(active_clusters(cluster, draws, 2)[600:] == 0)


def test_a_million_draws_take_seconds() -> None:
    """Protects the cost: not draws times clusters (a naive loop over 2,000 clusters needs minutes)."""
    cluster, n_tokens = skewed(3, n=200_000, k=2000)
    start = time.perf_counter()
    draws = sample_documents(
        cluster,
        n_tokens,
        budget_tokens=5 * int(n_tokens.sum()) - 1,
        plan="clusterclip",
        max_repetitions=5,
        seed=0,
    )
    assert len(draws) > 999_000
    assert time.perf_counter() - start < 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan": "g2s"}, "unknown plan"),
        ({"plan": "uniform", "max_repetitions": 5}, "no limit on repetitions"),
        ({"max_repetitions": 0}, "whole number"),
        ({"max_repetitions": 1.5}, "whole number"),
        ({"budget_tokens": 0}, "at least one token"),
        ({"n_tokens": np.array([3, 0])}, "document 1 has no tokens"),
        ({"n_tokens": np.array([3])}, "one entry of both"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    """Protects from a plan that is not the one asked for."""
    given_arguments = {
        "cluster": np.array([0, 1]),
        "n_tokens": np.array([3, 4]),
        "budget_tokens": 5,
        "plan": "clusterclip",
        "max_repetitions": 5,
        "seed": 0,
    }
    with pytest.raises(InputError, match=message):
        sample_documents(**(given_arguments | change))  # type: ignore[arg-type]
