"""Best-fit-decreasing bin packing of examples into rows (Ding et al. 2024, arXiv 2404.10830)."""

import numpy as np
from numpy.typing import NDArray


def best_fit(lengths: NDArray[np.integer], capacity: int) -> tuple[NDArray[np.int64], int]:
    """The row of each example by best-fit-decreasing, and the number of rows; no length may exceed `capacity`.

    The longest go first, each to the fullest row that still takes it.
    """
    rows = np.empty(len(lengths), dtype=np.int64)
    n_rows = 0
    # Bit s of `spaces` says that rows with s free tokens exist: the lowest fitting one is found without a search.
    spaces = 0
    with_space: dict[int, list[int]] = {}
    for index in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[index])
        fitting = spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            row = with_space[space].pop()
            if not with_space[space]:
                spaces ^= 1 << space
        else:
            space, row = capacity, n_rows
            n_rows += 1
        rows[index] = row
        if space > length:
            with_space.setdefault(space - length, []).append(row)
            spaces |= 1 << (space - length)
    return rows, n_rows
