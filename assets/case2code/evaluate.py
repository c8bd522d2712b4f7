"""Asking a model for programs and running them: execution accuracy on the cases shown and on those hidden."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from assets.case2code.completion import completed
from assets.case2code.execute import Runner, make_outputs
from assets.case2code.normalise import same_repr
from assets.case2code.prompts import fenced_block
from assets.case2code.schema import Cases, ExecStatus, Output, examples_source
from assets.core.ids import content_id
from assets.core.sandbox.program import Calls, Limits, Outcome, Program
from models.evaluation.pass_at_k import pass_at_k
from models.inference.engine import Completion, Engine, Failed, Message, Prompt, Request, Sampling
from models.inference.engine import Sample as Answer

Status = ExecStatus | Literal["unparseable", "no_function", "no_answer"]
# What says nothing of the program: not scored, and out of every mean.
EXCLUDED = ("infrastructure", "no_answer")


@dataclass(frozen=True, slots=True)
class Problem:
    """A function to find: the prompt, all its recorded cases, and the indices of those that the prompt shows.

    `group` is what accuracy is broken down by (the number of operations, the module of origin). An answer to a
    `begun` function is its body.
    """

    id: str
    group: str
    prompt: Prompt
    cases: Cases
    shown: Sequence[int]
    begun: str = ""


@dataclass(frozen=True)
class Rules:
    """How answers are sampled and judged. `tolerance` None compares texts (official); a number lets floats differ by
    as much, relative and absolute, and sets have any order."""

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))
    n: int = 1
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Graded:
    """One sample of one problem. `correct[i]` is of case i, false where the program did not get there.

    `shown_accuracy` and `hidden_accuracy` are shares of cases (None: there are none). `score` is 1 when every case is
    right, else 0; None, with the accuracies, for a status in EXCLUDED.
    """

    id: str
    item_id: str
    group_id: str
    sample: int
    prompt: str
    raw_output: str
    parsed: str | None
    parse_ok: bool
    status: Status
    detail: str
    n_tokens: int | None
    shown: list[int]
    correct: list[bool]
    shown_accuracy: float | None
    hidden_accuracy: float | None
    score: float | None


class Code(NamedTuple):
    """The Python in an answer, or why there is none to run."""

    text: str | None
    problem: Literal["unparseable", "no_function"] | None = None


class _Attempt(NamedTuple):
    problem: Problem
    sample: int
    answer: Answer
    code: Code


def chat_prompt(text: str, func_name: str) -> tuple[Message, ...]:
    """The question as a conversation with the hint of the official evaluation on how the function will be called.

    For models that were not trained on such prompts; in our own words (official repo: data_process.py).
    """
    hint = f"The arguments must have the names used above: the function will be called as `{func_name}(**inputs)`."
    return (Message("user", f"{text.rstrip()}\n\n{hint}"),)


def evaluate(engine: Engine, runner: Runner, problems: Sequence[Problem], rules: Rules) -> Iterator[Graded]:
    """A row for every sample of every problem, as each is settled and in any order. Raises EngineError."""
    settled: list[Graded] = []
    running: dict[int, _Attempt] = {}

    def programs() -> Iterator[Program]:
        requests = (Request(p.prompt, rules.sampling, n=rules.n, seed=rules.seed) for p in problems)
        for place, completion in engine.generate(requests):
            problem = problems[place]
            if isinstance(completion, Failed):
                settled.extend(_unanswered(problem, sample, completion) for sample in range(rules.n))
                continue
            for attempt in _attempts(problem, completion):
                if attempt.code.problem:
                    settled.append(_grade(attempt, attempt.code.problem, "", [], rules.tolerance))
                    continue
                running[len(running)] = attempt
                yield _program(attempt, rules.limits)

    for place, outcome in runner.run(programs()):
        yield _judge(running[place], outcome, rules.tolerance)
        yield from settled
        settled.clear()
    yield from settled


def extract_code(answer: str, func_name: str, begun: str = "") -> Code:
    """The first fenced Python block, or the text before a fence where only its end was asked for, or all of it; of a
    `begun` function that with its body."""
    if begun:
        text = completed(begun, answer)
    else:
        text = fenced_block(answer) if "```python" in answer else answer.split("```")[0]
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Code(None, "unparseable")
    if not any(isinstance(node, ast.FunctionDef) and node.name == func_name for node in tree.body):
        return Code(text, "no_function")
    return Code(text)


def judge_outputs(expected: Sequence[Output], found: Sequence[Output], tolerance: float | None) -> list[bool]:
    """Whether each expected output was found in its place; outputs that are missing were not."""
    given = [*found, *[None] * (len(expected) - len(found))]
    return [_same(wanted, got, tolerance) for wanted, got in zip(expected, given, strict=True)]


def mean_pass_at_k(rows: Sequence[Graded], k: int) -> float:
    """Mean over problems of pass@k; rows in EXCLUDED are no samples, a problem with fewer than `k` others is left out.

    Raises ValueError when no problem is left.
    """
    scores: dict[str, list[bool]] = {}
    for row in rows:
        if row.score is not None:
            scores.setdefault(row.item_id, []).append(row.score == 1)
    enough = [found for found in scores.values() if len(found) >= k]
    if not enough:
        raise ValueError(f"no problem has {k} scored samples: sample more, or lower k")
    return float(pass_at_k([len(found) for found in enough], [sum(found) for found in enough], k).mean())


def summarise(rows: Sequence[Graded]) -> Mapping[str, object]:
    """Counts of statuses, and over scored rows the shares that pass on shown, hidden and all cases."""
    scored = [row for row in rows if row.score is not None]
    hidden = [row.hidden_accuracy for row in scored if row.hidden_accuracy is not None]
    statuses = sorted({row.status for row in rows})
    return {
        "rows": len(rows),
        "scored": len(scored),
        "statuses": {status: sum(row.status == status for row in rows) for status in statuses},
        "pass_shown": _share([row.shown_accuracy == 1 for row in scored]),
        "pass_hidden": _share([accuracy == 1 for accuracy in hidden]),
        "pass_all": _share([row.score == 1 for row in scored]),
    }


def _share(marks: Sequence[bool]) -> float | None:
    return round(sum(marks) / len(marks), 4) if marks else None


def _attempts(problem: Problem, completion: Completion) -> Iterator[_Attempt]:
    for sample, answer in enumerate(completion.samples):
        yield _Attempt(problem, sample, answer, extract_code(answer.text, problem.cases.func_name, problem.begun))


def _program(attempt: _Attempt, limits: Limits) -> Program:
    cases = attempt.problem.cases
    examples = f"{cases.preamble}{examples_source(cases.arguments)}\n"
    return Program(attempt.code.text or "", Calls(cases.func_name, examples=examples), limits=limits)


def _judge(attempt: _Attempt, outcome: Outcome, tolerance: float | None) -> Graded:
    return _grade(attempt, outcome.status, outcome.detail, make_outputs(outcome), tolerance)


def _grade(attempt: _Attempt, status: Status, detail: str, found: Sequence[Output], tolerance: float | None) -> Graded:
    problem, answer, code = attempt.problem, attempt.answer, attempt.code
    correct = judge_outputs(problem.cases.example_outputs, found, tolerance)
    shown = [correct[index] for index in problem.shown]
    hidden = [right for index, right in enumerate(correct) if index not in problem.shown]
    excluded = status in EXCLUDED
    return Graded(
        id=content_id("graded", problem.id, str(attempt.sample), answer.text),
        item_id=problem.id,
        group_id=problem.group,
        sample=attempt.sample,
        prompt=_readable(problem.prompt),
        raw_output=answer.text,
        parsed=code.text,
        parse_ok=code.problem is None,
        status=status,
        detail=detail,
        n_tokens=None if answer.token_ids is None else len(answer.token_ids),
        shown=list(problem.shown),
        correct=[] if excluded else correct,
        shown_accuracy=None if excluded or not shown else sum(shown) / len(shown),
        hidden_accuracy=None if excluded or not hidden else sum(hidden) / len(hidden),
        score=None if excluded else float(all(correct)),
    )


def _unanswered(problem: Problem, sample: int, failed: Failed) -> Graded:
    nothing = _Attempt(problem, sample, Answer("", "stop"), Code(None, "unparseable"))
    return _grade(nothing, "no_answer", f"{failed.reason}: {failed.message}", [], None)


def _readable(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(part.content if isinstance(part, Message) else str(part) for part in prompt)


def _same(expected: Output, found: Output | None, tolerance: float | None) -> bool:
    if found is None or expected.is_error != found.is_error:
        return False
    if tolerance is None or expected.is_error:
        return expected.text == found.text
    return same_repr(expected.text, found.text, tolerance)
