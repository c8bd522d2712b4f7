"""Programs from the grammar with their cases, each behaviour on one side of the split. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from random import Random
from typing import Literal

from assets.case2code.behaviour import Split, behaviour_hash, split_of
from assets.case2code.grammar import canonical_inputs, is_usable, mini_functions, recorded_cases, run
from assets.case2code.schema import Cases
from assets.core.ids import content_id

# Why a drawn function is no program: it shows nothing; a behaviour was drawn often enough in training, or is in the
# validation or test split already; none of its recorded calls returns.
DropReason = Literal["shows_nothing", "drawn_often", "same_behaviour", "all_errors"]


@dataclass(frozen=True, slots=True)
class Program:
    """A function of the grammar with cases of its own, and the split of its behaviour."""

    split: Split
    behaviour: str
    n_operations: int
    cases: Cases


def draw_programs(
    n_draws: int,
    weights: Sequence[float],
    *,
    max_draws_per_behaviour: int,
    n_cases: int,
    valid_share: float,
    test_share: float,
    seed: int,
) -> Iterator[Program | DropReason]:
    """What becomes of each of `n_draws` functions.

    A behaviour of the training split may come several times, as other code or with other cases; one of the other
    splits comes once, so that every test problem counts the same.
    """
    drawn: Counter[str] = Counter()
    inputs_of = cache(canonical_inputs)
    for number, function in enumerate(islice(mini_functions(seed, weights), n_draws)):
        canonical = inputs_of(function.signature)
        outputs = run(function, canonical)
        behaviour = behaviour_hash([repr(values) for values in canonical], outputs)
        if behaviour is None or not is_usable(outputs):
            yield "shows_nothing"
            continue
        split = split_of(behaviour, valid_share=valid_share, test_share=test_share, seed=seed)
        if drawn[behaviour] >= (max_draws_per_behaviour if split == "train" else 1):
            yield "drawn_often" if split == "train" else "same_behaviour"
            continue
        name = content_id("program", str(seed), str(number), function.source)
        cases = recorded_cases(function, name, n_cases, Random(f"{seed}:{number}"))
        if all(output.is_error for output in cases.example_outputs):
            yield "all_errors"
            continue
        drawn[behaviour] += 1
        yield Program(split, behaviour, function.n_operations, cases)
