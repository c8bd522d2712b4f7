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
    candidates = np.empty(len(rows), np.uint32)
    for query in range(n_queries):
        of_query = terms[bounds[query] : bounds[query + 1]]
        for term in of_query:
            for posting in range(starts[term], starts[term + 1]):
                total[documents[posting]] += scores[posting]
        n_candidates = _list_candidates(of_query, starts, documents, total, candidates)
        _keep_best(candidates[:n_candidates], total, rows, keys[query])
    return keys


@njit(nogil=True, cache=True)
def _list_candidates(
    terms: np.ndarray, starts: np.ndarray, documents: np.ndarray, total: np.ndarray, candidates: np.ndarray
) -> int:
    """List the documents that were scored, some more than once, and return how many were listed.

    They are read from the postings where these are few, else from the totals: a short query does not pay for all
    documents, nor a long one for its postings twice.
    """
    n_postings = 0
    for term in terms:
        n_postings += starts[term + 1] - starts[term]
    size = 0
    if n_postings < len(total):
        for term in terms:
            for posting in range(starts[term], starts[term + 1]):
                candidates[size] = documents[posting]
                size += 1
    else:
        for document in range(len(total)):
            candidates[size] = document
            size += total[document] > 0
    return size


@njit(nogil=True, cache=True)
def _keep_best(candidates: np.ndarray, total: np.ndarray, rows: np.ndarray, best: np.ndarray) -> None:
    """Fill `best` with the greatest keys of the candidates, and set their totals back to 0."""
    k = len(best)
    bits = total.view(np.uint32)
    # The best so far and as many more: choosing k of them whenever it is full is cheaper than a heap.
    pool = np.empty(2 * k, np.uint64)
    size = 0
    least = np.uint64(0)
    for document in candidates:
        key = np.uint64(bits[document]) << SCORE_SHIFT | (ROW_MASK - np.uint64(rows[document]))
        if bits[document] and key > least:
            pool[size] = key
            size += 1
            if size == 2 * k:
                pool[:k] = np.partition(pool, k)[k:]
                least = pool[0]
                size = k
        total[document] = 0
    if size > k:
        pool[:k] = np.partition(pool[:size], size - k)[size - k :]
        size = k
    best[:size] = pool[:size]
