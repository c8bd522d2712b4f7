"""The inner loop of a search, compiled. Imported only where a search is run, because numba takes a second to import."""

from __future__ import annotations

from heapq import heapreplace

import numpy as np
from numba import njit

WORD_BITS = np.uint64(32)


@njit(nogil=True, cache=True)
def best_keys(
    terms: np.ndarray,
    bounds: np.ndarray,
    starts: np.ndarray,
    documents: np.ndarray,
    scores: np.ndarray,
    preference: np.ndarray,
    k: int,
) -> np.ndarray:
    """Keys of the k best documents of each query, the best first; 0 where fewer documents share a term with it.

    Query q has the terms `terms[bounds[q]:bounds[q + 1]]`. A key is the bits of the float32 score, then the 32 bits of
    the document's preference (the greatest wins a tie): positive floats are ordered like their bits, so one comparison
    of integers orders by score and breaks ties.
    """
    n_queries = len(bounds) - 1
    keys = np.zeros((n_queries, k), np.uint64)
    total = np.zeros(len(preference), np.float32)
    bits = total.view(np.uint32)
    for query in range(n_queries):
        of_query = terms[bounds[query] : bounds[query + 1]]
        for term in of_query:
            for posting in range(starts[term], starts[term + 1]):
                total[documents[posting]] += scores[posting]
        best = [np.uint64(0) for _ in range(k)]
        for term in of_query:
            for posting in range(starts[term], starts[term + 1]):
                document = documents[posting]
                if bits[document]:
                    key = np.uint64(bits[document]) << WORD_BITS | np.uint64(preference[document])
                    if key > best[0]:
                        heapreplace(best, key)
                    bits[document] = 0
        keys[query] = np.sort(np.array(best))[::-1]
    return keys
