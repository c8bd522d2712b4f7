"""Which prompts and answers are learned from. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def informative(right: Bools) -> Bools:
    """The prompts, of `right` [prompts, K], that have right and wrong answers: 0 < p < 1 (paper, §3.2)."""
    share = right.mean(axis=1)
    return (share > 0) & (share < 1)


def repeats(pass_rates: NDArray[np.float64], bounds: Sequence[float], times: Sequence[int]) -> Ints:
    """How often each prompt is asked in a pass over all: `times[i]` for rates in [bounds[i], bounds[i + 1])."""
    bins = np.searchsorted(np.asarray(bounds), pass_rates, side="right") - 1
    return np.asarray(times, dtype=np.int64)[np.clip(bins, 0, len(times) - 1)]


def one_of_each(right: Bools, rng: np.random.Generator) -> tuple[int, int]:
    """A random right and a random wrong answer of a prompt's K (paper, algorithm 1)."""
    return int(rng.choice(np.flatnonzero(right))), int(rng.choice(np.flatnonzero(~right)))


def divide(prompts: Ints, updates: int) -> list[Ints]:
    """The prompts in `updates` parts whose sizes differ by at most one."""
    return np.array_split(prompts, updates)
