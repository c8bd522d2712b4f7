"""Held-out documents from every cluster, chosen by content and not by position."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assets.core.errors import InputError
from assets.core.ids import content_id


def stratified_holdout(
    cluster: NDArray[np.int64],
    ids: Sequence[str],
    *,
    fraction: float,
    min_per_cluster: int = 1,
    min_cluster_size: int = 2,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Mask `[N]` of held-out documents.

    In each cluster of n documents these are the first ceil(fraction · n) by sha256(seed, id); at least
    `min_per_cluster` where n ≥ `min_cluster_size`; never the whole cluster, so a cluster of one stays in
    training.

    The order of the rows has no influence. A document more or less in a cluster changes the side of at most
    one other document, and of none in other clusters. Raises `InputError` for duplicate ids: one copy would
    be trained on and the other held out. Near duplicates are the caller's to remove. Our default; the paper
    does not say.
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction is {fraction}", "hold out more than 0 and less than 1 of the documents")
    if len(set(ids)) != len(ids) or len(ids) != len(cluster):
        raise InputError(
            f"{len(cluster)} clusters, {len(ids)} ids, {len(set(ids))} distinct ids",
            "give each document once, with one id",
        )
    hashes = np.array([content_id(str(seed), document_id) for document_id in ids])
    heldout = np.zeros(len(ids), dtype=np.bool_)
    for label in np.unique(cluster):
        rows = np.flatnonzero(cluster == label)
        count = math.ceil(fraction * len(rows))
        if len(rows) >= min_cluster_size:
            count = max(count, min_per_cluster)
        heldout[rows[np.argsort(hashes[rows])[: min(count, len(rows) - 1)]]] = True
    return heldout


def zipf_thinning(
    cluster: NDArray[np.int64], ids: Sequence[str], *, exponent: float, seed: int = 0
) -> NDArray[np.bool_]:
    """Mask `[N]` of the documents that stay when clusters are thinned to Zipf sizes.

    The largest cluster keeps its n documents, the cluster of rank r keeps ceil(n / r^exponent), or all where it has
    fewer; which ones is decided by sha256(seed, id). An exponent of 0 keeps everything. A harsher skew than the
    natural one, for a corpus in which nothing is rare (specification: optional second setting).
    """
    if exponent < 0:
        raise InputError(f"the exponent is {exponent}", "use 0 for the natural sizes, or more")
    if exponent == 0:
        return np.ones(len(ids), dtype=np.bool_)
    hashes = np.array([content_id("thin", str(seed), document_id) for document_id in ids])
    labels, sizes = np.unique(cluster, return_counts=True)
    by_size = np.argsort(-sizes, kind="stable")
    kept = np.zeros(len(ids), dtype=np.bool_)
    for rank, place in enumerate(by_size, start=1):
        rows = np.flatnonzero(cluster == labels[place])
        kept[rows[np.argsort(hashes[rows])[: math.ceil(sizes[by_size[0]] / rank**exponent)]]] = True
    return kept
