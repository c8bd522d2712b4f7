"""From signatures to groups of near-duplicates."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from assets.core.dedup.plan import MinHashPlan
from assets.core.dedup.signatures import cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from assets.core.dedup.shingles import Uint32s

    Int64s = NDArray[np.int64]
    Uint64s = NDArray[np.uint64]

WINDOW = 32  # members of a bucket that each member is compared with (our default)


def group(
    signatures: Uint32s, digests: Uint64s, band_keys: Callable[[int], Uint64s], plan: MinHashPlan, threads: int | None
) -> Int64s:
    """The group of each document `[documents]`, named by its lowest row in the order of digests.

    `digests` are 64-bit hashes of whole signatures, `band_keys(band)` those of one band. Groups are the connected
    components of links:

    - Documents of equal digest are linked without a comparison (the chance that any two of five million share one
      wrongly is 1e-6), and only one of them takes part further: copies cost no more than other documents.
    - Of the others, those of equal band key form a bucket. In a bucket of up to `WINDOW` + 1 every pair is compared
      by its signatures, and linked where they agree in the threshold's share: no pair is lost because neither is
      similar to a third. In a larger one the members are first ordered by their further minima, so that the most
      similar stand together, and each is compared with the `WINDOW` before it; pairs further apart are linked
      only over others, or by another band.

    Work is linear in the number of documents but for sorting: `WINDOW` comparisons a document and band at most.
    Memory, beyond the signatures that buckets touch: about 50 bytes a document, and 24 more for each thread. The groups
    depend neither on the order of documents nor on the number of threads.
    """
    import numpy as np

    from assets.core.dedup.linking import link_buckets, roots, union_all

    order = np.argsort(digests, kind="stable")
    starts = np.ones(len(order), dtype=bool)
    np.not_equal(digests[order][1:], digests[order][:-1], out=starts[1:])
    distinct_of_row = np.empty(len(order), np.int64)
    distinct_of_row[order] = np.cumsum(starts) - 1
    rows = order[starts]
    index_bits = max(1, len(rows).bit_length())

    def links(band: int) -> Int64s:
        keys = band_keys(band)[rows] >> np.uint64(index_bits) << np.uint64(index_bits)
        keys |= np.arange(len(rows), dtype=np.uint64)
        keys.sort()
        after = (band + 1) * plan.rows
        return link_buckets(keys, index_bits, signatures, rows, after, plan.least_agreement, WINDOW)

    parents = np.arange(len(rows))
    with ThreadPoolExecutor(threads or cores()) as pool:
        for found in pool.map(links, range(plan.bands)):
            union_all(parents, found)
    roots(parents)
    return parents[distinct_of_row]
