"""The held-out split: stratified, by content, and stable."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.clusterclip.split import stratified_holdout, zipf_thinning
from assets.core.errors import InputError

clusters = st.lists(st.integers(0, 5), min_size=1, max_size=80)


@settings(deadline=None)
@given(labels=clusters, fraction=st.floats(0.01, 0.9), least=st.integers(0, 5))
def test_every_cluster_has_its_share_on_both_sides(labels: list[int], fraction: float, least: int) -> None:
    """Protects the metric per cluster: the stated count is held out, training keeps a document of each."""
    cluster = np.array(labels)
    ids = [f"doc{i}" for i in range(len(labels))]
    heldout = stratified_holdout(cluster, ids, fraction=fraction, min_per_cluster=least, min_cluster_size=4, seed=1)
    for label in np.unique(cluster):
        n = int((cluster == label).sum())
        wanted = max(math.ceil(fraction * n), least if n >= 4 else 0)
        assert heldout[cluster == label].sum() == min(wanted, n - 1)


@settings(deadline=None)
@given(labels=clusters, seed=st.integers(0, 100), new=st.integers(0, 5))
def test_a_new_document_moves_at_most_one_other(labels: list[int], seed: int, new: int) -> None:
    """Protects comparisons over time: only the new document's cluster changes, by at most one."""
    cluster = np.array(labels)
    ids = [f"doc{i}" for i in range(len(labels))]
    before = stratified_holdout(cluster, ids, fraction=0.2, seed=seed)
    after = stratified_holdout(np.append(cluster, new), [*ids, "new"], fraction=0.2, seed=seed)[:-1]
    moved = before != after
    assert moved.sum() <= 1
    assert not moved[cluster != new].any()


def test_row_order_has_no_influence_but_the_seed_has() -> None:
    """Protects joins by id: the same documents are held out in any order; another seed holds out others."""
    rng = np.random.default_rng(0)
    cluster = rng.integers(5, size=200)
    ids = np.array([f"doc{i}" for i in range(200)])
    order = rng.permutation(200)
    straight = stratified_holdout(cluster, ids.tolist(), fraction=0.1)
    shuffled = stratified_holdout(cluster[order], ids[order].tolist(), fraction=0.1)
    assert set(ids[straight]) == set(ids[order][shuffled])
    assert set(ids[straight]) != set(ids[stratified_holdout(cluster, ids.tolist(), fraction=0.1, seed=1)])


def test_bad_input_is_named() -> None:
    """Protects from leakage: a document given twice could be on both sides."""
    with pytest.raises(InputError, match="2 distinct ids"):
        stratified_holdout(np.zeros(3, dtype=int), ["a", "b", "a"], fraction=0.1)
    with pytest.raises(InputError, match="fraction is 1"):
        stratified_holdout(np.zeros(2, dtype=int), ["a", "b"], fraction=1)


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8), exponent=st.floats(0.1, 3))
def test_thinning_follows_zipf(sizes: list[int], exponent: float) -> None:
    """The cluster of rank r keeps ceil(n / r^a) documents or all it has; the largest keeps everything."""
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    ids = [f"{i}" for i in range(len(cluster))]
    kept = zipf_thinning(cluster, ids, exponent=exponent)
    largest = max(sizes)
    ranked = sorted(range(len(sizes)), key=lambda k: -sizes[k])
    for rank, k in enumerate(ranked, start=1):
        assert kept[cluster == k].sum() == min(sizes[k], math.ceil(largest / rank**exponent))


def test_no_thinning_keeps_everything() -> None:
    """An exponent of 0 leaves the natural sizes; a negative one is refused."""
    cluster = np.array([0, 0, 1])
    assert zipf_thinning(cluster, ["a", "b", "c"], exponent=0).all()
    with pytest.raises(InputError, match="exponent"):
        zipf_thinning(cluster, ["a", "b", "c"], exponent=-1)
