"""The arms of the comparison, and the documents that each trains on: equally many tokens for all. No I/O.

All arms choose among passages that pass the same filters. Those that retrieve merge the lists of their queries by
reciprocal rank fusion: first what many queries find early. The paper takes all that was found, but arms of different
size cannot be compared; the fusion is our default. Random and oracle arms take passages in the order of a hash.

Between seeds differ: the queries drawn from an arm's pool, random choices and the order of the data, and the weights
that the base starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from assets.core.errors import InputError
from assets.core.ids import content_id

Arm = Literal["random", "seed_only", "questions", "thoughts", "oracle"]
ARMS: tuple[Arm, ...] = ("random", "seed_only", "questions", "thoughts", "oracle")
# The kinds of queries of the arms that retrieve; `thoughts` is the whole method.
QUERY_KINDS: dict[Arm, tuple[str, ...]] = {
    "seed_only": ("seed",),
    "questions": ("seed", "question"),
    "thoughts": ("seed", "question", "thought"),
}
FUSION_K, FUSION_UNIT = 60, 10**12
HELD_EQUAL = (
    "base checkpoint, training tokens (documents repeat where an arm found too few), steps, batches, learning rates, "
    "filters, held-out documents"
)


def hashed(ids: Sequence[str], *salt: str) -> list[str]:
    """A hash of each id, by which an order or a choice is random, but the same for equal ids and salt."""
    return [content_id(*salt, name) for name in ids]


def drawn_queries(queries: pl.DataFrame, arm: Arm, share: float, seed: int) -> list[str]:
    """Ids of the arm's queries that a seed draws: `share` of them, at least one; `queries` has id and kind."""
    of_arm = queries.filter(pl.col("kind").is_in(list(QUERY_KINDS[arm])))["id"].to_list()
    ranked = sorted(zip(hashed(of_arm, "draw", str(seed)), of_arm, strict=True))
    return [name for _, name in ranked[: max(1, round(share * len(ranked)))]]


def by_fusion(hits: pl.DataFrame, query_ids: Sequence[str], allowed: Sequence[str], seed: int) -> list[str]:
    """The documents that these queries found, by reciprocal rank fusion; ties in the order of a hash.

    A document scores the sum of 1 / (60 + rank), ranks from 1, over the queries that found it (Cormack et al. 2009).
    `hits` has query_id, doc_id and rank from 0; only `allowed` documents count.
    """
    # In whole numbers, so that the sum does not depend on the order of the rows.
    share = FUSION_UNIT // (FUSION_K + 1 + pl.col("rank").cast(pl.Int64))
    fused = (
        hits.filter(pl.col("query_id").is_in(list(query_ids)) & pl.col("doc_id").is_in(list(allowed)))
        .group_by("doc_id")
        .agg(score=share.sum())
    )
    names = fused["doc_id"].to_list()
    ranked = sorted(zip((-fused["score"]).to_list(), hashed(names, "fusion", str(seed)), names, strict=True))
    return [name for _, _, name in ranked]


def by_hash(ids: Sequence[str], seed: int) -> list[str]:
    """The documents in a random order."""
    return [name for _, name in sorted(zip(hashed(ids, "random", str(seed)), ids, strict=True))]


def select(order: Sequence[str], n_tokens: dict[str, int], budget: int, seed: int) -> pl.DataFrame:
    """The documents that fill the budget exactly, in the order in which they are trained on.

    Documents are taken in `order` until they have `budget` tokens, again from the first where there are too few, and
    then mixed by the seed; the one that is cut to fit stands last. Columns: document_id, n_tokens (used), repetition
    (from 1). Raises InputError where there is no document.
    """
    sizes = np.array([n_tokens[name] for name in order], dtype=np.int64)
    if not sizes.sum():
        raise InputError("the arm has no document", "check the seeds and the pool: nothing was found that passes")
    passes = -(-budget // int(sizes.sum()))
    ends = np.cumsum(np.tile(sizes, passes))
    count = int(np.searchsorted(ends, budget)) + 1
    used = np.tile(sizes, passes)[:count]
    used[-1] -= ends[count - 1] - budget
    place = np.arange(count)
    mixed = np.append(np.random.default_rng(seed).permutation(count - 1), count - 1)
    return pl.DataFrame(
        {
            "document_id": [order[index % len(order)] for index in place[mixed]],
            "n_tokens": used[mixed],
            "repetition": place[mixed] // len(order) + 1,
        }
    )
