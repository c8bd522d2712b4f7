"""Spherical k-means: the loss falls, the labels fit the centroids, planted clusters come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

import assets.clusterclip.kmeans as module
from assets.clusterclip.kmeans import assign, spherical_kmeans
from assets.core.errors import InputError


def blobs(n: int, d: int, k: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit points around k random directions, and the direction of each."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    points = rng.standard_normal((k, d))[truth] + spread * rng.standard_normal((n, d))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 120),
    d=st.integers(1, 12),
    k=st.integers(1, 20),
    spread=st.floats(0.01, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_invariants(n: int, d: int, k: int, spread: float, seed: int) -> None:
    """Protects the algorithm: the loss never rises, centroids have norm 1, labels are the best for them."""
    points, _ = blobs(n, d, k, spread, seed)
    found = spherical_kmeans(points, min(k, n), max_iterations=20, rng=np.random.default_rng(seed))
    assert np.all(np.diff(found.losses) < 1e-6)
    assert np.allclose(np.linalg.norm(found.centroids, axis=1), 1, atol=1e-4)
    cosine = points.astype(np.float64) @ found.centroids.T.astype(np.float64)
    chosen = cosine[np.arange(n), found.labels]
    assert np.all(chosen >= cosine.max(axis=1) - 1e-5)
    assert np.allclose(found.similarity, chosen, atol=1e-5)
    assert found.loss == pytest.approx(float(1 - chosen.mean()), abs=1e-5)


def test_planted_clusters_are_found() -> None:
    """Protects the point of the step: well separated directions come back, in the best of several runs."""
    points, truth = blobs(1000, 32, 5, 0.25, seed=1)
    found = spherical_kmeans(points, 5, n_runs=30, rng=np.random.default_rng(0))
    assert adjusted_rand_score(truth, found.labels) > 0.99


def test_objective_is_near_that_of_sklearn() -> None:
    """Protects quality: with random starts the loss stays within 3 % of Euclidean k-means++ by sklearn."""
    points, _ = blobs(4000, 24, 40, 0.9, seed=2)
    found = spherical_kmeans(points, 32, n_runs=5, rng=np.random.default_rng(0))
    peer = KMeans(32, n_init=5, random_state=0).fit(points)
    centroids = peer.cluster_centers_ / np.linalg.norm(peer.cluster_centers_, axis=1, keepdims=True)
    peer_loss = 1 - assign(points, centroids.astype(np.float32))[1].mean()
    assert found.loss < 1.03 * peer_loss


def test_more_runs_keep_the_best() -> None:
    """Protects n_runs: the kept run is the best of the same runs done one after another."""
    points, _ = blobs(300, 8, 10, 0.5, seed=3)
    rng = np.random.default_rng(7)
    single = [spherical_kmeans(points, 10, rng=rng) for _ in range(6)]
    best = spherical_kmeans(points, 10, n_runs=6, rng=np.random.default_rng(7))
    assert best.loss == min(one.loss for one in single)
    assert best.run == int(np.argmin([one.loss for one in single]))
    assert len({one.loss for one in single}) > 1  # else the test could not fail


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects bounded memory: small blocks give the labels of one big block."""
    points, _ = blobs(500, 16, 8, 0.5, seed=4)
    whole = assign(points, points[:8])
    monkeypatch.setattr(module, "_BLOCK_ENTRIES", 8 * 33)
    labels, similarity = assign(points, points[:8])
    assert np.array_equal(labels, whole[0])
    assert np.allclose(similarity, whole[1], atol=1e-6)


def test_an_empty_cluster_keeps_its_centroid() -> None:
    """Protects from NaN centroids: of two equal starting points one cluster stays empty, with norm 1."""
    points = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    found = spherical_kmeans(points, 3, rng=np.random.default_rng(0))
    assert sorted(np.bincount(found.labels, minlength=3)) == [0, 1, 2]
    assert np.allclose(np.linalg.norm(found.centroids, axis=1), 1)


def test_fixed_point_and_the_iteration_limit() -> None:
    """Protects the stopping rules: a fixed point ends the run, and max_iterations is a hard limit."""
    points, _ = blobs(3000, 16, 20, 1.0, seed=5)
    short = spherical_kmeans(points, 20, max_iterations=3, rng=np.random.default_rng(0))
    long = spherical_kmeans(points, 20, max_iterations=300, rng=np.random.default_rng(0))
    assert short.iterations == 3
    assert len(short.losses) == 4
    assert 3 < long.iterations < 300
    assert long.losses[:4] == short.losses
    means = np.stack([points[long.labels == k].mean(axis=0) for k in range(20)])
    assert np.allclose(means / np.linalg.norm(means, axis=1, keepdims=True), long.centroids, atol=1e-5)


def test_early_stop_ends_a_run_that_does_not_improve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects early_stop_iterations: centroids that swap places change the labels but never the loss."""
    points, _ = blobs(50, 4, 3, 0.5, seed=8)
    monkeypatch.setattr(module, "_means", lambda points, labels, centroids: np.roll(centroids, 1, axis=0))
    found = spherical_kmeans(points, 3, early_stop_iterations=7, rng=np.random.default_rng(0))
    assert found.iterations == 8


def test_same_seed_same_bytes() -> None:
    """Protects reuse: equal input and seed give equal centroids, another seed gives others."""
    points, _ = blobs(400, 8, 6, 1.0, seed=6)
    first, again, other = (spherical_kmeans(points, 6, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.centroids.tobytes() == again.centroids.tobytes()
    assert first.centroids.tobytes() != other.centroids.tobytes()


def test_bad_input_is_named() -> None:
    """Protects from silent nonsense: unnormalised or NaN rows are named, too many clusters refused."""
    points = np.eye(4, dtype=np.float32)
    with pytest.raises(InputError, match="5 clusters asked of 4 points"):
        spherical_kmeans(points, 5, rng=np.random.default_rng(0))
    for value in (0.0, 2.0, np.nan):
        bad = points.copy()
        bad[2] = value
        with pytest.raises(InputError, match="row 2"):
            spherical_kmeans(bad, 2, rng=np.random.default_rng(0))
