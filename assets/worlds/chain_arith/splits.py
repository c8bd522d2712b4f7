"""Problems in splits, none of which gives away another's solution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from assets.core.errors import InputError
from assets.core.problems import EVALUATION, TRAINING, split_of
from assets.worlds.chain_arith.problems import Drawn, Problem

# More draws than this for each problem wanted, and the world is too small for its splits.
MAX_DRAWS = 50


class Splits(NamedTuple):
    """Problems by split; draws in all, and how many were dropped by reason."""

    problems: dict[str, list[Drawn]]
    n_draws: int
    dropped: Counter[str]


def split_problems(draws: Iterator[Drawn], sizes: Mapping[str, int], seed: int) -> Splits:
    """Fill every split to its size; which one a question belongs to is a hash of it.

    The evaluation's splits are filled first: a training problem that begins with one of their whole chains would
    show its solution, and is dropped. Raises InputError when the draws give too few distinct problems.
    """
    found: dict[str, list[Drawn]] = {split: [] for split in sizes}
    dropped = Counter[str]()
    fresh = _Distinct(draws, MAX_DRAWS * sum(sizes.values()), dropped)
    held: list[Drawn] = []

    def is_full(splits: tuple[str, ...]) -> bool:
        return all(len(found[split]) == sizes[split] for split in splits)

    def take(drawn: Drawn, split: str) -> None:
        if len(found[split]) < sizes[split]:
            found[split].append(drawn)
        else:
            dropped["split_full"] += 1

    while not is_full(EVALUATION):
        drawn = next(fresh)
        split = split_of(drawn.problem.question, sizes, seed)
        if split in EVALUATION:
            take(drawn, split)
        else:
            held.append(drawn)
    evaluated = {drawn.problem.formula for split in EVALUATION for drawn in found[split]}
    waiting = iter(held)
    for drawn in chain(waiting, fresh):
        split = split_of(drawn.problem.question, sizes, seed)
        if split in EVALUATION:
            dropped["split_full"] += 1
        elif shows_solution(drawn.problem, evaluated):
            dropped["begins_with_evaluation_problem"] += 1
        else:
            take(drawn, split)
        if is_full(TRAINING):
            break
    dropped["split_full"] += sum(1 for _ in waiting)
    return Splits(found, fresh.n_draws, dropped)


def shows_solution(problem: Problem, formulas: set[str]) -> bool:
    """Whether the chain is, or begins with, one of the formulas."""
    lengths = range(1, len(problem.operators) + 1)
    return any(problem.beginning(length).formula in formulas for length in lengths)


class _Distinct:
    """The draws without repetitions, counted."""

    def __init__(self, draws: Iterator[Drawn], max_draws: int, dropped: Counter[str]) -> None:
        self.n_draws = 0
        self._draws, self._max_draws, self._dropped = draws, max_draws, dropped
        self._seen: set[Problem] = set()

    def __iter__(self) -> Iterator[Drawn]:
        return self

    def __next__(self) -> Drawn:
        while self.n_draws < self._max_draws:
            self.n_draws += 1
            drawn = next(self._draws)
            if drawn.problem not in self._seen:
                self._seen.add(drawn.problem)
                return drawn
            self._dropped["duplicate"] += 1
        raise InputError(
            f"{self.n_draws:,} draws gave too few distinct problems for the splits",
            "lower the sizes of the splits, or raise modulus or max_operations of worlds/chain_arith",
        )
