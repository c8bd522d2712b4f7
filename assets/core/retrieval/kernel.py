"""The inner loop of a search, compiled. Imported only where a search is run, because numba takes a second to import."""

from __future__ import annotations

import numpy as np
from numba import njit

SCORE_SHIFT = np.uint64(32)
ROW_MASK = np.uint64(0xFFFFFFFF)


@njit(nogil=True, cache=True)
def best_keys(
    terms: np.ndarray,
    bounds: np.ndarray,
    starts: np.ndarray,
    documents: np.ndarray,
    scores: np.ndarray,
    rows: np.ndarray,
    k: int,
) -> np.ndarray:
    """Keys of the k best documents of each query, in no order; 0 where fewer documents share a term with it.

    Query q has the terms `terms[bounds[q]:bounds[q + 1]]`; the other arrays are those of the index. A key is the bits
    of the float32 score, then the complement of the row of the document's id: positive floats are ordered like their
    bits, so one comparison of integers orders by score and, where scores are equal, by id.
    """
    n_queries = len(bounds) - 1
    keys = np.zeros((n_queries, k), np.uint64)
    total = np.zeros(len(rows), np.float32)
    bits = total.view(np.uint32)
    touched = np.empty(len(rows), np.uint32)
    # The best so far and as many candidates: choosing k of them when it is full is cheaper than a heap.
    pool = np.empty(2 * k, np.uint64)
    for query in range(n_queries):
        n_touched = 0
        for term in terms[bounds[query] : bounds[query + 1]]:
            for posting in range(starts[term], starts[term + 1]):
                document = documents[posting]
                if not bits[document]:
                    touched[n_touched] = document
                    n_touched += 1
                total[document] += scores[posting]
        size = 0
        least = np.uint64(0)
        for document in touched[:n_touched]:
            key = np.uint64(bits[document]) << SCORE_SHIFT | (ROW_MASK - np.uint64(rows[document]))
            total[document] = 0
            if key > least:
                pool[size] = key
                size += 1
                if size == 2 * k:
                    pool[:k] = np.partition(pool, k)[k:]
                    least = pool[0]
                    size = k
        if size > k:
            pool[:k] = np.partition(pool[:size], size - k)[size - k :]
            size = k
        keys[query, :size] = pool[:size]
    return keys
