"""Spherical k-means as in the official code (official repo choosewhatulike/cluster-clip:kmeans.py).

K random points as the start; E-step: the centroid of highest cosine; M-step: the mean of the members, scaled
to norm 1; an empty cluster keeps its centroid; early stop; the best of several runs. One difference: the
official code returns the labels of its last E-step; here labels are assigned again with the final centroids.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assets.core.errors import InputError

_BLOCK_ENTRIES = 1 << 23  # similarities held at once: 32 MiB of float32

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Clustering:
    """Centroids with the labels that are best for exactly these centroids."""

    centroids: Floats
    """`[K, d]`, rows of norm 1."""
    labels: Labels
    """`[N]`, the cluster of each point."""
    similarity: Floats
    """`[N]`, cosine of each point to its centroid."""
    losses: tuple[float, ...]
    """Mean of 1 - cosine at each E-step; the last entry belongs to the returned labels."""
    iterations: int
    """M-steps done."""
    run: int
    """Which of the runs (from 0) was the best."""

    @property
    def loss(self) -> float:
        """Mean of 1 - cosine of the returned labels."""
        return self.losses[-1]


def spherical_kmeans(
    points: Floats,
    n_clusters: int,
    *,
    max_iterations: int = 300,
    early_stop_iterations: int = 50,
    n_runs: int = 1,
    rng: np.random.Generator,
) -> Clustering:
    """Cluster points `[N, d]` of norm 1; the run of lowest final loss, the same for the same state of `rng`.

    A run ends after `max_iterations` (official README: 300), when the loss has not improved for more than
    `early_stop_iterations` (official: 50), or when no label changes (further steps would change nothing).
    Memory beyond the points: about 32 MiB of similarities. A cluster may be empty, for instance when two of
    the starting points are equal. Raises `InputError` for points that are not of norm 1, or more clusters
    than points.
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    _check(points, n_clusters)
    if max_iterations < 1 or n_runs < 1:
        raise InputError(
            "k-means needs at least one iteration and one run", "set max_iterations and n_runs to 1 or more"
        )
    runs = [_one_run(points, n_clusters, max_iterations, early_stop_iterations, run, rng) for run in range(n_runs)]
    return min(runs, key=lambda clustering: clustering.loss)


def assign(points: Floats, centroids: Floats) -> tuple[Labels, Floats]:
    """The nearest centroid of each point and its cosine, both `[N]`; equal cosines go to the lower index."""
    n_points = len(points)
    labels = np.empty(n_points, dtype=np.int32)
    similarity = np.empty(n_points, dtype=np.float32)
    block = max(1, _BLOCK_ENTRIES // len(centroids))
    for start in range(0, n_points, block):
        rows = slice(start, start + block)
        cosine = points[rows] @ centroids.T
        labels[rows] = cosine.argmax(axis=1)
        similarity[rows] = np.take_along_axis(cosine, labels[rows, None], axis=1)[:, 0]
    return labels, similarity


def _check(points: Floats, n_clusters: int) -> None:
    if points.ndim != 2:
        raise InputError(f"points have shape {points.shape}", "give one row per document")
    if not 1 <= n_clusters <= len(points):
        raise InputError(
            f"{n_clusters} clusters asked of {len(points)} points",
            "set n_clusters between 1 and the number of points",
        )
    norms = np.linalg.norm(points, axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) < 1e-3))  # written so that NaN counts as wrong
    if len(wrong):
        raise InputError(
            f"{len(wrong)} points are not of norm 1, first row {wrong[0]} with norm {norms[wrong[0]]:.4g}",
            "divide each row by its norm",
        )


def _one_run(
    points: Floats, n_clusters: int, max_iterations: int, patience: int, run: int, rng: np.random.Generator
) -> Clustering:
    centroids = points[rng.choice(len(points), size=n_clusters, replace=False)]
    labels, similarity = assign(points, centroids)
    losses = [_loss(similarity)]
    best, since_best, iterations = losses[0], 0, 0
    while iterations < max_iterations and since_best <= patience:
        centroids = _means(points, labels, centroids)
        previous = labels
        labels, similarity = assign(points, centroids)
        losses.append(_loss(similarity))
        iterations += 1
        if np.array_equal(labels, previous):
            break
        since_best = 0 if losses[-1] < best else since_best + 1
        best = min(best, losses[-1])
    return Clustering(centroids, labels, similarity, tuple(losses), iterations, run)


def _loss(similarity: Floats) -> float:
    return float(1.0 - similarity.mean(dtype=np.float64))


def _means(points: Floats, labels: Labels, previous: Floats) -> Floats:
    """Mean of the members scaled to norm 1; the previous centroid where there are none or they cancel out."""
    from scipy.sparse import csr_matrix

    n_points = len(points)
    members = csr_matrix(
        (np.ones(n_points, dtype=np.float32), labels, np.arange(n_points + 1)),
        shape=(n_points, len(previous)),
    )
    sums = members.T @ points
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(norms > 1e-6, sums / np.maximum(norms, 1e-6), previous).astype(np.float32)
