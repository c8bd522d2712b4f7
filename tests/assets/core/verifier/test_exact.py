"""The rule of worlds whose truth is known."""

from __future__ import annotations

import time

import pytest

from assets.core.errors import InputError
from assets.core.verifier import Answer, Verifier


@pytest.mark.parametrize(
    ("response", "gold", "outcome"),
    [
        ("17+15=32\n32-8=24\n#### 24", "24", "right"),
        ("#### 24 \n", " 24", "right"),
        ("#### 24", "42", "wrong"),
        ("#### 24.0", "24", "wrong"),
        ("#### 024", "24", "wrong"),
        ("#### 50%", "0.5", "wrong"),
        ("#### 50", "0.5", "wrong"),
        ("#### 0.5", "50", "wrong"),
        ("#### 24\n#### 25", "24", "wrong"),
        ("#### 25\n#### 24", "24", "right"),
        ("#### 24 #### 25", "25", "wrong"),
        ("#### 24\n24+1=25", "24", "wrong"),
        ("#### ２４", "24", "wrong"),
        ("#### ", "24", "wrong"),
        ("24", "24", "unparsable"),
        ("", "24", "unparsable"),
        ("#### ", "", "grader_error"),
    ],
)
def test_letter_by_letter(response: str, gold: str, outcome: str) -> None:
    """Only the gold answer itself, last and alone behind its marker, is right; a missing gold answer is no truth."""
    (grade,) = Verifier().grade([Answer("q", gold, response, ended=True)], "exact")
    assert grade.outcome == outcome
    assert grade.reward == (1 if outcome == "right" else -1)


def test_a_response_that_did_not_end_is_wrong() -> None:
    """Without its stop token a response might have gone on to another answer."""
    (grade,) = Verifier().grade([Answer("q", "24", "#### 24", ended=False)], "exact")
    assert (grade.outcome, grade.detail) == ("wrong", "did not end")


def test_it_is_fast() -> None:
    """Rollouts of a step are graded in no time: 300,000 answers a second on a busy core, an eighth asked for."""
    answers = [Answer("17+5*3-8=?", str(i % 100), "5*3=15\n17+15=32\n32-8=24\n#### 24", True) for i in range(20_000)]
    begun = time.process_time()
    grades = Verifier().grade(answers, "exact")
    assert sum(grade.outcome == "right" for grade in grades) == 200
    assert time.process_time() - begun < 0.5


def test_an_unknown_rule_is_refused() -> None:
    """A misspelt rule in a row of problems is not silently graded by another."""
    with pytest.raises(InputError, match="exactly"):
        Verifier().grade([Answer("q", "1", "#### 1", True)], ["exactly"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="shorter"):
        Verifier().grade([Answer("q", "1", "#### 1", True)] * 2, ["exact"])
