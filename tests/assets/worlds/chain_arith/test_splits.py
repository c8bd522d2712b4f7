"""Splits of ChainArith: full, disjoint, and no training solution shows one of the evaluation."""

from __future__ import annotations

import pytest

from assets.core.errors import InputError
from assets.core.problems import EVALUATION, TRAINING, split_of
from assets.worlds.chain_arith.problems import Rule, draw_problems, parse_question, solve
from assets.worlds.chain_arith.splits import Splits, shows_solution, split_problems

SIZES = {"sft": 300, "rl": 100, "search": 20, "valid": 30, "test": 50}


def drawn(sizes: dict[str, int], seed: int = 0, max_operations: int = 4) -> Splits:
    draws = draw_problems(modulus=5, min_operations=1, max_operations=max_operations, skill_share=0.6, seed=seed)
    return split_problems(draws, sizes, seed)


@pytest.mark.parametrize("seed", range(5))
def test_splits_are_full_and_every_draw_is_counted(seed: int) -> None:
    """Sizes are exact, no question comes twice, and draws = problems + dropped."""
    found = drawn(SIZES, seed)
    assert {split: len(problems) for split, problems in found.problems.items()} == SIZES
    questions = [each.problem.question for problems in found.problems.values() for each in problems]
    assert len(set(questions)) == len(questions) == found.n_draws - found.dropped.total()
    assert found.dropped["begins_with_evaluation_problem"]
    assert found.dropped["duplicate"]


@pytest.mark.parametrize("seed", range(5))
def test_no_training_solution_begins_with_an_evaluation_solution(seed: int) -> None:
    """Read from the solutions' own lines, not from the formulas by which problems are dropped."""
    found = drawn(SIZES, seed)
    steps = {
        split: {tuple(solve(each.problem, Rule(5))[0].split("\n")[:-1]) for each in problems}
        for split, problems in found.problems.items()
    }
    evaluated = set().union(*(steps[split] for split in EVALUATION))
    for split in TRAINING:
        assert not any(lines[:n] in evaluated for lines in steps[split] for n in range(1, len(lines) + 1))


def test_a_chain_shows_what_it_begins_with() -> None:
    """The beginning counts as a whole number of operations: 1+23 does not begin with 1+2."""
    assert shows_solution(parse_question("1+2*3=?"), {"1+2"})
    assert shows_solution(parse_question("1+2=?"), {"1+2"})
    assert not shows_solution(parse_question("1+23*3=?"), {"1+2"})
    assert not shows_solution(parse_question("0+1+2=?"), {"1+2"})


def test_a_small_world_says_what_to_do() -> None:
    """Chains of one operation modulo 5 are 75: a larger split must not draw for ever."""
    with pytest.raises(InputError, match=r"too few distinct problems.*\n.*raise modulus"):
        drawn({**SIZES, "sft": 3000}, max_operations=1)


def test_empty_splits() -> None:
    """A user who wants no evaluation, or no training, gets none of it."""
    assert [len(problems) for problems in drawn({**SIZES, "valid": 0, "test": 0}).problems.values()][3:] == [0, 0]
    assert len(drawn({"sft": 0, "rl": 0, "search": 0, "valid": 30, "test": 50}).problems["test"]) == 50


def test_a_hash_splits_in_proportion() -> None:
    """Weights may be sizes or shares; a weight of nothing gets nothing, and equal questions the same split."""
    weights = {"sft": 2.0, "rl": 0.0, "test": 1.0}
    found = [split_of(str(n), weights) for n in range(9_000)]
    assert found.count("rl") == 0
    assert found.count("sft") / 9_000 == pytest.approx(2 / 3, abs=0.025)
    assert [split_of(str(n), weights) for n in range(9_000)] == found
    assert [split_of(str(n), weights, seed=1) for n in range(9_000)] != found
