"""HumanEval and MBPP, whose right solutions are known: these pass and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from assets.core.sandbox import Calls, Limits, Outcome, Program, Returned, Sandbox

PATIENT = Limits(seconds=60, cpu_seconds=60)
Rows = Callable[[str], list[dict[str, str]]]


def human_eval(row: dict[str, str], body: str | None = None) -> Program:
    code = row["prompt"] + (row["canonical_solution"] if body is None else body)
    return Program(code, tests=f"{row['test']}\ncheck({row['entry_point']})\n", limits=PATIENT)


def mbpp(row: dict[str, str], code: str | None = None) -> Program:
    tests = "\n".join([row["test_setup_code"], *row["test_list"]])
    return Program(row["code"] if code is None else code, tests=tests, limits=PATIENT)


BENCHMARKS = pytest.mark.parametrize(
    ("file", "make", "empty"), [("HumanEval.jsonl.gz", human_eval, "    pass\n"), ("mbpp.jsonl.gz", mbpp, "pass")]
)


def wrong(outcomes: dict[int, Outcome], rows: list[dict[str, str]], passed: bool) -> list[tuple[str, Outcome]]:
    return [(rows[i]["task_id"], outcome) for i, outcome in outcomes.items() if (outcome.status == "ok") != passed]


@BENCHMARKS
def test_every_solution_passes(sandbox: Sandbox, rows: Rows, file: str, make: Callable, empty: str) -> None:
    """Protects scores from below: no right program is called wrong because it is isolated from its tests."""
    found = rows(file)
    assert not wrong(dict(sandbox.run(make(row) for row in found)), found, passed=True)


@BENCHMARKS
def test_no_empty_body_passes(sandbox: Sandbox, rows: Rows, file: str, make: Callable, empty: str) -> None:
    """Protects scores from above."""
    found = rows(file)
    assert not wrong(dict(sandbox.run(make(row, empty) for row in found)), found, passed=False)


@pytest.mark.slow
@BENCHMARKS
def test_outcomes_do_not_depend_on_the_run(rows: Rows, file: str, make: Callable, empty: str) -> None:
    """Protects reproducibility: three runs and two numbers of workers say the same, of right and of wrong programs."""
    found = rows(file)[:100]
    programs = [make(row) for row in found] + [make(row, empty) for row in found]

    def outcomes(workers: int) -> list[tuple[str, str]]:
        with Sandbox(workers=workers) as sandbox:
            answered = dict(sandbox.run(programs))
        return [(answered[i].status, answered[i].detail) for i in range(len(programs))]

    first = outcomes(1)
    assert first == outcomes(1) == outcomes(8) == outcomes(8)


def test_calls_agree_with_the_authors_executor(sandbox: Sandbox, rows: Rows) -> None:
    """Protects Case2Code: its test set's own inputs give the recorded outputs.

    Left out is what no executor repeats: addresses, and records of another form. The rest differs by the order of sets
    and by Python's version.
    """
    found = rows("case2code_test.jsonl.gz")
    programs = [Program(row["code"], calls=Calls(row["func_name"], examples=row["example_str"])) for row in found]
    same = total = 0
    for index, outcome in sandbox.run(programs):
        assert outcome.status == "ok", (index, outcome)
        recorded = found[index]["example_outputs"]
        for result, expected in zip(outcome.results, recorded, strict=True):
            text = expected.get("return") or expected.get("error", "").removeprefix("<|EXCEPTION|> ")
            if not text or " at 0x" in text:
                continue
            ours = result.value if isinstance(result, Returned) else f"<class '{result.type}'>: {result.message}"
            total += 1
            same += json.loads(text) == ours
    assert total > 7000
    assert same > 0.99 * total
