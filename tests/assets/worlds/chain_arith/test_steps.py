"""ChainArith's solutions and their checker, against Python's own arithmetic."""

from __future__ import annotations

import re
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.worlds.chain_arith.problems import (
    OPERATORS,
    Order,
    Problem,
    Rule,
    draw_problems,
    parse_question,
    solve,
)
from assets.worlds.chain_arith.steps import check_steps

ORDERS: tuple[Order, ...] = ("left_to_right", "precedence")
RULES = st.builds(Rule, st.integers(2, 1000), st.sampled_from(ORDERS))


@st.composite
def problems(draw: st.DrawFn, modulus: int) -> Problem:
    operators = draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=8))
    size = len(operators) + 1
    operands = draw(st.lists(st.integers(0, modulus - 1), min_size=size, max_size=size))
    return Problem(tuple(operands), tuple(operators))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Problem, Rule]:
    rule = draw(RULES)
    return draw(problems(rule.modulus)), rule


def pythons_answer(formula: str, rule: Rule) -> int:
    """Python evaluates products first; brackets make it go from left to right."""
    if rule.order == "left_to_right":
        first, *rest = re.findall("[0-9]+|[-+*]", formula)
        for operator, operand in zip(rest[::2], rest[1::2], strict=True):
            first = f"({first}{operator}{operand})"
        formula = first
    return int(eval(formula)) % rule.modulus


@given(cases())
@settings(deadline=None)
def test_answers_are_pythons(case: tuple[Problem, Rule]) -> None:
    """The answer is that of an evaluator which knows nothing of lines and reductions."""
    problem, rule = case
    assert solve(problem, rule)[1] == str(pythons_answer(problem.formula, rule))


@given(cases())
@settings(deadline=None)
def test_gold_solutions_check_out(case: tuple[Problem, Rule]) -> None:
    """Generator and checker share one rule: every line of a solution is right, and so is every beginning of it."""
    problem, rule = case
    solution, answer = solve(problem, rule)
    found = check_steps(problem, solution, rule)
    assert found.solved
    assert found.correct == (True,) * (len(problem.operators) + 1)
    assert solution.endswith(f"\n#### {answer}")
    beginning = check_steps(problem, solution.rpartition("\n")[0], rule)
    assert beginning.first_wrong is None
    assert not beginning.finished
    assert not beginning.solved


@given(cases(), st.data())
@settings(deadline=None)
def test_a_changed_number_is_found_at_its_line(case: tuple[Problem, Rule], data: st.DataObject) -> None:
    """Whichever number of a solution is changed, operand, result or answer, its line is the first wrong one."""
    problem, rule = case
    solution, _ = solve(problem, rule)
    found = data.draw(st.sampled_from(list(re.finditer("[0-9]+", solution))))
    number = data.draw(st.integers(0, 2 * rule.modulus).filter(lambda number: number != int(found[0])))
    changed = f"{solution[: found.start()]}{number}{solution[found.end() :]}"
    assert check_steps(problem, changed, rule).first_wrong == solution[: found.start()].count("\n")


@given(cases(), st.text())
@settings(deadline=None)
def test_any_text_is_checked(case: tuple[Problem, Rule], text: str) -> None:
    """A policy may write anything: no text breaks the checker, and each of its lines gets a verdict."""
    problem, rule = case
    found = check_steps(problem, text, rule)
    assert len(found.correct) == (len(text.removesuffix("\n").split("\n")) if text else 0)


@pytest.mark.parametrize(
    ("response", "correct", "first_wrong", "finished"),
    [
        ("17+5=22\n22*3=66\n66-8=58\n#### 58", [True] * 4, None, True),
        ("17+5=22\n22*3=66\n66-8=58\n#### 58\n", [True] * 4, None, True),
        ("17+5=22\n22*3=66", [True] * 2, None, False),
        # Behind a wrong result what follows from it is right in itself, the answer too.
        ("17+5=23\n23*3=69\n69-8=61\n#### 61", [False, True, True, True], 0, True),
        ("17+5=23\n22*3=66", [False, False], 0, False),
        # A line that continues no chain leaves none to continue.
        ("17+5=22\nwell\n22*3=66", [True, False, False], 1, False),
        ("17+5=22\n#### 58", [True, False], 1, True),
        ("17+5=22\n22*3=66\n66-8=58\n#### 58\n#### 58", [True] * 4 + [False], 4, True),
        ("17+05=22", [False], 0, False),
        ("17+5=" + "9" * 10_000, [False], 0, False),
        ("", [], None, False),
        ("\n", [False], 0, False),
    ],
)
def test_verdicts(response: str, correct: list[bool], first_wrong: int | None, finished: bool) -> None:
    """What the checker says of 17+5*3-8, from left to right modulo 100."""
    found = check_steps(parse_question("17+5*3-8=?"), response, Rule(100))
    assert (list(found.correct), found.first_wrong, found.finished) == (correct, first_wrong, finished)


def test_the_order_decides_the_lines() -> None:
    """The same chain has another solution under each order (specification: fix one rule, share it)."""
    problem = parse_question("17+5*3-8=?")
    assert solve(problem, Rule(100, "precedence")) == ("5*3=15\n17+15=32\n32-8=24\n#### 24", "24")
    assert solve(problem, Rule(10)) == ("17+5=2\n2*3=6\n6-8=8\n#### 8", "8")


@given(cases())
def test_a_question_is_read_back(case: tuple[Problem, Rule]) -> None:
    """The question's text is all that a row keeps of its problem."""
    assert parse_question(case[0].question) == case[0]


@pytest.mark.parametrize("text", ["", "17+5", "17+5=", "+5=?", "17=?", "17++5=?", "17+5=?\n", "1７+5=?"])
def test_other_texts_are_no_questions(text: str) -> None:
    """A question of another set must not be taken for a chain."""
    with pytest.raises(ValueError, match="no question of ChainArith"):
        parse_question(text)


def test_draws_have_the_asked_distribution() -> None:
    """Lengths, operands and skills are uniform; an operator is its skill with .6 + .4 / 3."""
    drawn = list(islice(draw_problems(modulus=10, min_operations=2, max_operations=6, skill_share=0.6, seed=1), 20_000))
    lengths = [len(problem.operators) for problem, _ in drawn]
    operands = [operand for problem, _ in drawn for operand in problem.operands]
    same = [operator == skill for problem, skill in drawn for operator in problem.operators]
    # Bounds are over five standard errors wide.
    assert [lengths.count(n) / len(drawn) for n in range(2, 7)] == pytest.approx([0.2] * 5, abs=0.015)
    assert [operands.count(n) / len(operands) for n in range(10)] == pytest.approx([0.1] * 10, abs=0.006)
    assert [[skill for _, skill in drawn].count(name) / len(drawn) for name in OPERATORS] == pytest.approx(
        [1 / 3] * 3, abs=0.018
    )
    assert sum(same) / len(same) == pytest.approx(0.6 + 0.4 / 3, abs=0.01)
