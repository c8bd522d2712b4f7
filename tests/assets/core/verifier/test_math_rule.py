"""What counts as equal in mathematics. A false positive is the one error that ruins reinforcement learning."""

from __future__ import annotations

import pytest

from assets.core.verifier.extract import Extracted
from assets.core.verifier.math_rule import grade_math

DIFFERENT = [
    # Factors of 100, which OREAL's official rule forgives.
    ("0.5", "50"), ("50", "0.5"), ("0.5", "50%"), (r"50\%", "0.5"), ("0.05", r"5\%"), (r"5\%", "0.05"), ("5", "500"),
    # Numbers that are only near.
    ("1e-7", "0"), ("0.0000001", "0.0000002"), ("3", "3.0001"), ("1/3", "0.333"), (r"\pi", "3.14"),
    (r"\sqrt{2}", "1.414"), ("18", "17.9999"), ("123456789012", "123456789013"), ("1000000.0", "1000000.5"),
    ("1,234", "1.234"),
    # Signs, several answers at once, half an answer.
    ("5", "-5"), ("5", r"\pm 5"), (r"\pm 5", "5"), ("5", "5, 6, 7"), ("1,2", "1"), (r"\{1,2,3\}", r"\{1,2\}"),
    ("5", r"5 \text{ or } 6"), ("5", "4 < 6"), ("5", "5 6"),
    # Order, ends of intervals, shapes.
    ("(1,2)", "(2,1)"), ("(1,2)", "[1,2]"), ("[1,2)", "(1,2]"), (r"(-\infty,0)", r"(0,\infty)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}"),
    # Symbols and words.
    ("x=1", "x=2"), ("x>3", "x<3"), ("x>3", r"x\ge 3"), ("x", "X"), ("5", "5x"), ("x^2+1", "x^2-1"), ("2+3i", "2-3i"),
    ("cat", "act"), (r"\text{Evelyn}", r"\text{Carla}"), (r"\text{C}", r"\text{(B)}"), ("A", "B"),
    # What is no number.
    ("0", r"\frac{0}{0}"), ("0", "nan"), (r"\infty", r"-\infty"), ("0", r"\infty"), (r"90^\circ", r"90 \pi"),
    ("5", r"\text{}"),
]  # fmt: skip
EQUAL = [
    ("72", "72"), ("70000", "70,000"), ("70000", r"\$70,000"), ("70000", "$70,000"), ("18", "18.00"),
    ("18", "18 dollars"), ("18", "$18 a day"), ("50", r"50\%"), ("50", "50%"), (r"28\%", "28 pct"), ("0.4", ".4"),
    (r"\frac{14}{3}", "14/3"),
    (r"\frac{1}{3}", "0.333333"), (r"\frac{14}{3}", r"\dfrac{14}{3}"), ("0.5", r"\frac12"),
    (r"3 \pm 2\sqrt{2}", r"3\pm2\sqrt2"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)"), (r"\text{Evelyn}", "evelyn"), (r"\text{(C)}", "C"),
    ("1", "x = 1"), (r"\{1,2\}", r"\{2,1\}"), ("x^2+2x+1", "(x+1)^2"), (r"90^\circ", "90"), ("1e400", "1e400"),
    ("12:00", "12:00"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
@pytest.mark.parametrize("formula", [True, False])
def test_different_answers_are_never_right(gold: str, answer: str, formula: bool) -> None:
    """Each pair is an error that a lenient grader forgives, boxed or in prose."""
    assert grade_math(gold, Extracted(answer, formula)).outcome in ("wrong", "unparsable")


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_another_way_of_writing_is_right(gold: str, answer: str) -> None:
    """Commas, currency, units, fractions, order in sets: what a correct solution may write."""
    formula = " a " not in answer and "dollars" not in answer
    assert grade_math(gold, Extracted(answer, formula)).outcome == "right"


def test_a_broken_gold_answer_is_the_graders_error() -> None:
    """What cannot be read in the data set is not the model's fault."""
    grade = grade_math(r"$\boxed{}$", Extracted("5", True))
    assert grade.outcome == "grader_error"
    assert "gold answer cannot be read" in grade.detail


def test_a_crash_is_the_graders_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception inside the library is not a wrong answer."""

    def broken(*_: object, **__: object) -> bool:
        raise RecursionError("too deep")

    monkeypatch.setattr("math_verify.verify", broken)
    grade = grade_math("5", Extracted("5.0", True))
    assert (grade.outcome, grade.detail) == ("grader_error", "RecursionError: too deep")
