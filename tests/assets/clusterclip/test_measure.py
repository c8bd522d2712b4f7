"""Metrics by hand-made documents, so that micro, macro, worst and gap cannot be mixed up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assets.clusterclip import measure
from assets.clusterclip.sample import sample_documents
from assets.core.errors import InputError
from assets.core.statistics import macro_mean, paired_bootstrap

BITS = np.array([10.0, 30.0, 90.0, 8.0, 400.0])
BYTES = np.array([10.0, 10.0, 30.0, 4.0, 100.0])
GROUP = np.array(["a", "a", "b", "c", "d"])


def test_micro_macro_and_worst() -> None:
    """Protects the definitions: a = 40/20, b = 90/30, c = 8/4, d = 400/100."""
    assert measure.micro_bits_per_byte(BITS, BYTES) == pytest.approx(538 / 154)
    assert measure.macro_bits_per_byte(BITS, BYTES, GROUP) == pytest.approx((2 + 3 + 2 + 4) / 4)
    assert measure.worst_quartile_bits_per_byte(BITS, BYTES, GROUP) == pytest.approx(4)
    table = measure.group_bits_per_byte(BITS, BYTES, GROUP)
    assert table.group.tolist() == ["a", "b", "c", "d"]
    assert table.bits_per_byte.tolist() == [2, 3, 2, 4]
    assert table.n_documents.tolist() == [2, 1, 1, 1]


def test_worst_quartile_rounds_up() -> None:
    """Protects five groups: their worst quarter is two, not one."""
    bits = np.array([1.0, 2, 3, 4, 6])
    assert measure.worst_quartile_bits_per_byte(bits, np.ones(5), np.arange(5)) == pytest.approx(5)


def test_small_groups_can_be_left_out() -> None:
    """Protects the independent grouping, where packages of one document are noise; none left is an error."""
    assert measure.macro_bits_per_byte(BITS, BYTES, GROUP, min_documents=2) == pytest.approx(2)
    with pytest.raises(InputError, match="the largest has 2"):
        measure.macro_bits_per_byte(BITS, BYTES, GROUP, min_documents=3)


def test_rare_clusters_are_those_of_fewest_training_tokens() -> None:
    """Protects the choice by tokens, not by documents: cluster 7 has two documents but the fewest tokens."""
    cluster = np.array([7, 7, 1, 2, 3, 3, 3])
    n_tokens = np.array([1, 1, 50, 60, 9, 9, 9])
    assert measure.rare_clusters(cluster, n_tokens).tolist() == [7]
    assert measure.rare_clusters(cluster, n_tokens, share=0.5).tolist() == [7, 3]


def test_gap_is_heldout_minus_training_inside_each_rare_cluster() -> None:
    """Protects sign and pairing: cluster 1 gains 2 by training, cluster 2 gains 1, 3 has one side only."""
    cluster = np.array([1, 1, 2, 2, 3, 9, 9])
    is_train = np.array([True, False, True, False, True, True, False])
    bits = np.array([10.0, 30.0, 200.0, 300.0, 1.0, 5.0, 500.0])
    n_bytes = np.array([10.0, 10.0, 100.0, 100.0, 1.0, 5.0, 5.0])
    rare = np.array([1, 2, 3])
    assert measure.rare_cluster_gap(bits, n_bytes, cluster, is_train, rare) == pytest.approx(1.5)
    with pytest.raises(InputError, match="no rare cluster has both"):
        measure.rare_cluster_gap(bits, n_bytes, cluster, is_train, np.array([3]))


def test_value_and_interval_follow_one_definition() -> None:
    """Protects claims from two formulas: the bootstrap's arms equal the plain metrics."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(8), 10)
    is_train = np.tile([True, False], 40)
    n_bytes = rng.integers(100, 900, size=80).astype(float)
    arms = [n_bytes * rng.uniform(1, 3, size=(1, 80)) for _ in range(2)]
    macro = paired_bootstrap(*arms, weights=n_bytes, groups=cluster, statistic=macro_mean, resamples=50)
    assert macro.treatment == pytest.approx(measure.macro_bits_per_byte(arms[0][0], n_bytes, cluster))
    rare = np.array([2, 5, 6])
    groups = measure.gap_groups(cluster, is_train, rare)
    used = groups >= 0
    gap = paired_bootstrap(
        *(arm[:, used] for arm in arms),
        weights=n_bytes[used],
        groups=groups[used],
        statistic=measure.gap_statistic,
        resamples=50,
    )
    plain = [measure.rare_cluster_gap(arm[0], n_bytes, cluster, is_train, rare) for arm in arms]
    assert gap.difference == pytest.approx(plain[0] - plain[1])
    assert gap.low < gap.difference < gap.high


def test_gini() -> None:
    """Protects the skew that is reported: equal is 0, all in one is (K - 1)/K, and a value by hand."""
    assert measure.gini([5, 5, 5, 5]) == pytest.approx(0)
    assert measure.gini([0, 0, 0, 8]) == pytest.approx(0.75)
    sizes = np.array([1.0, 2.0, 7.0])
    by_pairs = np.abs(sizes[:, None] - sizes[None]).mean() / (2 * sizes.mean())
    assert measure.gini(sizes) == pytest.approx(by_pairs)
    with pytest.raises(InputError):
        measure.gini([0, 0])


def test_summary_counts_what_the_plan_did() -> None:
    """Protects the metadata: a one-document cluster is clipped after two draws; repeats count in tokens."""
    cluster = np.array([0, 1, 1, 1, 1])
    n_tokens = np.full(5, 10)
    draws = sample_documents(cluster, n_tokens, budget_tokens=100, plan="clusterclip", max_repetitions=2, seed=0)
    full = measure.summarise_plan(draws, cluster, n_tokens, 2)
    assert (full.n_draws, full.n_tokens, full.epochs, full.documents_seen) == (10, 100, 2.0, 1.0)
    assert (full.repeated_tokens, full.max_repetition, full.clusters_clipped) == (0.5, 2, 2)
    half = sample_documents(cluster, n_tokens, budget_tokens=50, plan="uniform", seed=0)
    uniform = measure.summarise_plan(half, cluster, n_tokens, math.inf)
    assert uniform.clusters_clipped == 0
    assert uniform.fallback_draws == 0
    assert uniform.repeated_tokens == pytest.approx(1 - uniform.documents_seen)


def test_mixture_weights_restore_the_training_shares() -> None:
    """With the weights every cluster has its training bytes, so that common text counts as much as it was common."""
    cluster, n_bytes = np.array([0, 0, 1, 2]), np.array([10, 30, 20, 5])
    weight = measure.mixture_weights(cluster, n_bytes, np.array([0, 1, 1]), np.array([400, 100, 60]))
    assert [float((weight * n_bytes)[cluster == k].sum()) for k in range(3)] == [400, 160, 0]
