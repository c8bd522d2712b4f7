"""Metrics from rows of one scored document each: bits, bytes, cluster, package.

Bits per byte does not depend on the tokenizer. All functions take arrays over documents `[N]`; the group
statistics are those of `assets.core.statistics`, so that a value and its interval follow one definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assets.clusterclip.sample import Draws
from assets.core.errors import InputError
from assets.core.statistics import macro_mean, micro_mean, worst_quartile_mean

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class GroupBits:
    """Bits per byte by group, groups in ascending order of their name."""

    group: NDArray[np.generic]
    bits_per_byte: Floats
    n_documents: Ints


def micro_bits_per_byte(bits: ArrayLike, n_bytes: ArrayLike) -> float:
    """All bits over all bytes: long documents and big groups weigh more."""
    return float(micro_mean(np.asarray(bits, dtype=float), np.asarray(n_bytes, dtype=float)))


def group_bits_per_byte(bits: ArrayLike, n_bytes: ArrayLike, group: ArrayLike, *, min_documents: int = 1) -> GroupBits:
    """Bits over bytes of each group with at least `min_documents` documents."""
    sums = _sums(bits, n_bytes, group, min_documents)
    return GroupBits(sums.names, sums.bits / sums.bytes, sums.count)


def macro_bits_per_byte(bits: ArrayLike, n_bytes: ArrayLike, group: ArrayLike, *, min_documents: int = 1) -> float:
    """Mean over groups of the group's bits per byte: a rare group weighs as much as a common one."""
    sums = _sums(bits, n_bytes, group, min_documents)
    return float(macro_mean(sums.bits, sums.bytes))


def worst_quartile_bits_per_byte(
    bits: ArrayLike, n_bytes: ArrayLike, group: ArrayLike, *, min_documents: int = 1
) -> float:
    """Mean bits per byte of the worst quarter of the groups (rounded up)."""
    sums = _sums(bits, n_bytes, group, min_documents)
    return float(worst_quartile_mean(sums.bits, sums.bytes))


@dataclass(frozen=True)
class _Sums:
    names: NDArray[np.generic]
    bits: Floats
    bytes: Floats
    count: Ints


def _sums(bits: ArrayLike, n_bytes: ArrayLike, group: ArrayLike, min_documents: int) -> _Sums:
    names, index, count = np.unique(np.asarray(group), return_inverse=True, return_counts=True)
    enough = count >= min_documents
    if not enough.any():
        raise InputError(
            f"no group has {min_documents} documents, the largest has {count.max(initial=0)}",
            "lower min_documents, or score more documents",
        )
    bits_sum, bytes_sum = (
        np.asarray(np.bincount(index, weights=np.asarray(x, dtype=float)), dtype=np.float64) for x in (bits, n_bytes)
    )
    return _Sums(names[enough], bits_sum[enough], bytes_sum[enough], count[enough])


def mixture_weights(cluster: Ints, n_bytes: Ints, training_cluster: Ints, training_bytes: Ints) -> Floats:
    """Weight `[N]` of each held-out document that gives every cluster its share of the training bytes.

    Held-out documents are taken evenly from clusters; what is common in training is restored by weighting a cluster's
    documents with training bytes over held-out bytes.
    """
    held: dict[int, int] = {}
    trained: dict[int, int] = {}
    for label, size in zip(cluster.tolist(), n_bytes.tolist(), strict=True):
        held[label] = held.get(label, 0) + size
    for label, size in zip(training_cluster.tolist(), training_bytes.tolist(), strict=True):
        trained[label] = trained.get(label, 0) + size
    return np.array([trained.get(label, 0) / held[label] for label in cluster.tolist()])


def rare_clusters(cluster: Ints, n_tokens: Ints, *, share: float = 0.25) -> Ints:
    """The smallest quarter of the cluster labels by training tokens (rounded up), smallest first.

    Clusters without training documents are not counted. "Rare" is not defined in public material: our
    default.
    """
    labels, index = np.unique(cluster, return_inverse=True)
    tokens = np.bincount(index, weights=n_tokens)
    return np.asarray(labels[np.argsort(tokens, kind="stable")][: int(np.ceil(share * len(labels)))], dtype=np.int64)


def gap_groups(cluster: Ints, is_train: NDArray[np.bool_], rare: Ints) -> Ints:
    """Group `[N]` of each document for `gap_statistic`: 0 to G - 1 held out, G to 2G - 1 in training.

    G is the number of rare clusters that have documents on both sides; all other documents get -1: drop them.
    """
    both = np.intersect1d(np.intersect1d(rare, cluster[is_train]), cluster[~is_train])
    if not len(both):
        raise InputError(
            "no rare cluster has both training and held-out documents",
            "score some training documents of the rare clusters too",
        )
    group = np.full(len(cluster), -1, dtype=np.int64)
    for place, label in enumerate(both):
        group[cluster == label] = place
    return np.asarray(np.where(group < 0, -1, group + len(both) * is_train), dtype=np.int64)


def gap_statistic(bits: Floats, n_bytes: Floats) -> Floats:
    """Held-out minus training bits per byte, mean over rare clusters: a `Statistic` over `gap_groups`.

    Positive means that trained documents are predicted better than unseen ones of the same cluster; larger
    means more overfitting. The difference is taken inside each cluster, so both sides mix the clusters
    equally. In `paired_bootstrap` let the strata be the groups, so that no resample leaves a group out.
    """
    ratio = bits / n_bytes
    rare = ratio.shape[-1] // 2
    return np.asarray((ratio[..., :rare] - ratio[..., rare:]).mean(-1))


def rare_cluster_gap(
    bits: ArrayLike, n_bytes: ArrayLike, cluster: Ints, is_train: NDArray[np.bool_], rare: Ints
) -> float:
    """`gap_statistic` of scored documents, some from training and some held out."""
    group = gap_groups(cluster, is_train, rare)
    used = group >= 0
    sums = _sums(np.asarray(bits)[used], np.asarray(n_bytes)[used], group[used], 1)
    return float(gap_statistic(sums.bits, sums.bytes))


def gini(sizes: ArrayLike) -> float:
    """Gini coefficient of cluster sizes: 0 when all are equal, (K - 1)/K when one holds everything."""
    ordered = np.sort(np.asarray(sizes, dtype=np.float64))
    if len(ordered) == 0 or ordered[0] < 0 or ordered.sum() == 0:
        raise InputError("sizes must be non-negative and not all zero", "give the number of documents of each cluster")
    n = len(ordered)
    return float(2 * (np.arange(1, n + 1) * ordered).sum() / (n * ordered.sum()) - (n + 1) / n)


@dataclass(frozen=True)
class PlanSummary:
    """What a sampling plan did, for metadata and checks."""

    n_draws: int
    n_tokens: int
    epochs: float
    """Tokens drawn over tokens in the collection."""
    documents_seen: float
    """Share of the documents drawn at least once."""
    repeated_tokens: float
    """Share of the drawn tokens that the plan had drawn before."""
    max_repetition: int
    clusters_clipped: int
    """Clusters whose every document reached `max_repetitions`, before any fallback."""
    fallback_draws: int


def summarise_plan(draws: Draws, cluster: Ints, n_tokens: Ints, max_repetitions: float) -> PlanSummary:
    """Counts over the draws of one plan; `cluster` and `n_tokens` are those the plan was made from."""
    labels, sizes = np.unique(cluster, return_counts=True)
    balanced = draws.cluster[~draws.fallback]
    drawn = np.bincount(np.searchsorted(labels, balanced), minlength=len(labels))
    total = int(draws.n_tokens.sum())
    return PlanSummary(
        n_draws=len(draws),
        n_tokens=total,
        epochs=total / int(n_tokens.sum()),
        documents_seen=len(np.unique(draws.document)) / len(cluster),
        repeated_tokens=int(draws.n_tokens[draws.repetition > 1].sum()) / total,
        max_repetition=int(draws.repetition.max()),
        clusters_clipped=int((drawn >= sizes * max_repetitions).sum()),
        fallback_draws=int(draws.fallback.sum()),
    )
