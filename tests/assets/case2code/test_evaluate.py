"""Evaluation: what counts as right, what is wrong, what is not scored."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest

from assets.case2code.evaluate import (
    Graded,
    Problem,
    Rules,
    chat_prompt,
    evaluate,
    extract_code,
    judge_outputs,
    mean_pass_at_k,
    summarise,
)
from assets.case2code.grammar import mini_functions, recorded_cases
from assets.case2code.render import render_answer
from assets.case2code.schema import Cases, Output
from assets.core.sandbox.program import Limits, Outcome, Program, Returned
from models.inference.engine import Completion, Failed, Request, Sample, Usage

CASES = Cases(
    "double",
    "f",
    "def f(x):\n    return 2 * x",
    [(("x", str(value)),) for value in range(6)],
    [f"{{'x': {value}}}" for value in range(6)],
    [Output(str(2 * value), False) for value in range(6)],
    "ok",
)
PROBLEM = Problem("p", "1", "Find f.", CASES, (0, 2))


class Answers:
    """An engine that has its answers: one text for all samples, or a text for each, or a failure."""

    def __init__(self, *answers: str | Failed) -> None:
        self.answers = answers

    def identity(self) -> dict[str, object]:
        return {"engine": "answers"}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        for place, request in enumerate(requests):
            answer = self.answers[place]
            if isinstance(answer, Failed):
                yield place, answer
            else:
                sample = Sample(answer, "stop", token_ids=(1, 2, 3))
                yield place, Completion((sample,) * request.n, Usage(1, 3 * request.n), 0.1)

    def close(self) -> None:
        pass


class Recorded:
    """A runner that knows what each program answers."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.programs: list[Program] = []

    def run(self, programs: Iterable[Program]) -> Iterator[tuple[int, Outcome]]:
        for place, program in enumerate(programs):
            self.programs.append(program)
            yield place, self.outcome


def grade(answer: str | Failed, outcome: Outcome, problem: Problem = PROBLEM, rules: Rules | None = None) -> Graded:
    (row,) = evaluate(Answers(answer), Recorded(outcome), [problem], rules or Rules())
    return row


def returned(*values: object) -> tuple[Returned, ...]:
    return tuple(Returned("{}", repr(value)) for value in values)


def test_shown_and_hidden_cases_are_scored_apart() -> None:
    """A program that only repeats what it was shown passes the shown cases and none of the others."""
    row = grade(
        render_answer("def f(x):\n    return {0: 0, 2: 4}.get(x)"), Outcome("ok", returned(0, None, 4, *[None] * 3))
    )
    assert (row.shown_accuracy, row.hidden_accuracy, row.score) == (1.0, 0.0, 0.0)
    assert row.correct == [True, False, True, False, False, False]
    assert (row.item_id, row.group_id, row.parse_ok, row.n_tokens) == ("p", "1", True, 3)


def test_all_cases_right_is_a_pass() -> None:
    """The score is 1 only for every recorded case, shown and hidden."""
    row = grade(render_answer(CASES.code), Outcome("ok", returned(*range(0, 12, 2))))
    assert (row.score, row.shown_accuracy, row.hidden_accuracy, row.status) == (1.0, 1.0, 1.0, "ok")


def test_what_ran_before_a_timeout_counts() -> None:
    """Cases that a program did not reach are wrong, with the status kept."""
    row = grade(render_answer(CASES.code), Outcome("timeout", returned(0, 2, 4), detail="still running"))
    assert row.status == "timeout"
    assert (row.shown_accuracy, row.score) == (1.0, 0.0)
    assert row.hidden_accuracy == 0.25


@pytest.mark.parametrize("answer", ["I do not know.", "```python\ndef f(x:\n```", "def f(x): return ("])
def test_unparseable_answers_are_wrong_and_counted(answer: str) -> None:
    """They score 0 under a status of their own and never reach the sandbox."""
    runner = Recorded(Outcome("ok"))
    (row,) = evaluate(Answers(answer), runner, [PROBLEM], Rules())
    assert (row.status, row.parse_ok, row.score, row.hidden_accuracy) == ("unparseable", False, 0.0, 0.0)
    assert not runner.programs
    assert summarise([row])["statuses"] == {"unparseable": 1}


def test_another_function_name_is_wrong() -> None:
    """The name is part of the question: a program without it cannot be called."""
    assert grade(render_answer("def g(x):\n    return 2 * x"), Outcome("ok")).status == "no_function"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (render_answer(CASES.code), Outcome("infrastructure", detail="the sandbox died")),
        (Failed("unavailable", "server gone"), Outcome("ok")),
    ],
)
def test_failures_that_are_not_the_models_are_not_scored(answer: str | Failed, outcome: Outcome) -> None:
    """A broken sandbox or engine is neither right nor wrong: no score, out of the means, but counted."""
    row = grade(answer, outcome)
    right = grade(render_answer(CASES.code), Outcome("ok", returned(*range(0, 12, 2))))
    assert (row.score, row.shown_accuracy, row.hidden_accuracy) == (None, None, None)
    summary = summarise([row, right])
    assert (summary["rows"], summary["scored"], summary["pass_hidden"]) == (2, 1, 1.0)


def test_nothing_hidden_has_no_hidden_accuracy() -> None:
    """With every case shown nothing is known of unseen ones."""
    all_shown = Problem("p", "1", "Find f.", CASES, tuple(range(6)))
    row = grade(render_answer(CASES.code), Outcome("ok", returned(*range(0, 12, 2))), all_shown)
    assert (row.hidden_accuracy, row.score) == (None, 1.0)


def test_the_first_fenced_block_is_taken() -> None:
    """Text around a fence, a second block, a fence left open or closed only: the code is found."""
    code = "def f(x):\n    return 1"
    for answer in (
        f"Sure!\n```python\n{code}\n```\nor\n```python\ndef f(x): return 2\n```",
        f"```python\n{code}",
        f"{code}\n```\nNext question",
        code,
    ):
        assert (extract_code(answer, "f").text or "").strip() == code, answer


def test_tolerance_is_a_choice() -> None:
    """By default texts must be equal; with a tolerance floats may differ and sets have any order. Errors never."""
    expected = [Output("0.1", False), Output("{1, 2}", False), Output("<class 'ValueError'>: 1", True)]
    found = [Output("0.10000000001", False), Output("{2, 1}", False), Output("<class 'ValueError'>: 2", True)]
    assert judge_outputs(expected, found, None) == [False, False, False]
    assert judge_outputs(expected, found, 1e-6) == [True, True, False]
    assert judge_outputs([Output("'a'", True)], [Output("'a'", False)], 1e-6) == [False]


def test_the_hint_names_the_call() -> None:
    """Models that were not trained on the task are told how they will be called (official evaluation)."""
    (message,) = chat_prompt("Find f.\n\n", "f")
    assert message.role == "user"
    assert message.content.startswith("Find f.\n\n")
    assert "f(**inputs)" in message.content


def test_pass_at_k_is_a_mean_over_problems() -> None:
    """Each problem counts once, whatever its samples."""
    rows = []
    for name, answer in (("a", CASES.code), ("b", "def f(x):\n    return 0")):
        problem = Problem(name, "1", "Find f.", CASES, (0,))
        values = range(0, 12, 2) if name == "a" else [0] * 6
        outcome = Outcome("ok", returned(*values))
        rows += evaluate(Answers(render_answer(answer)), Recorded(outcome), [problem], Rules(n=4))
    assert len({row.id for row in rows}) == 8
    assert mean_pass_at_k(rows, 2) == 0.5
    with pytest.raises(ValueError, match="5 scored samples"):
        mean_pass_at_k(rows, 5)


def test_grammar_programs_pass_in_the_sandbox() -> None:
    """The grammar's own answers, executed in isolation, agree with those it gave in this process, exceptions too."""
    from assets.core.errors import AthanorError
    from assets.core.sandbox import Sandbox

    problems = []
    for function, place in zip(mini_functions(11, (1.0, 1.0, 1.0)), range(40), strict=False):
        cases = recorded_cases(function, str(place), 8, random.Random(place))
        problems.append(Problem(cases.id, "", "?", cases, (0, 1, 2)))
    try:
        sandbox = Sandbox(workers=1)
    except AthanorError as error:
        pytest.skip(str(error))
    answers = Answers(*(render_answer(problem.cases.code) for problem in problems))
    rows = list(evaluate(answers, sandbox, problems, Rules(limits=Limits(seconds=20))))
    sandbox.close()
    assert {row.status for row in rows} == {"ok"}
    assert all(row.score == 1 for row in rows)
    assert any(output.is_error for problem in problems for output in problem.cases.example_outputs)
