"""From written inputs to cases."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest

from assets.case2code.execute import Executed, execute
from assets.case2code.filter import drop_reason
from assets.case2code.schema import Arguments, Function, Output, Written
from assets.core.sandbox import Limits, Outcome, Program, Returned, Sandbox

LIMITS = Limits(seconds=2, cpu_seconds=2)


def job(name: str, body: str, *values: str, preamble: str = "") -> tuple[Function, Written]:
    calls: list[Arguments] = [(("a", value),) for value in values]
    code = f"def {name}(a):\n    {body}\n"
    return Function(name, "p", "m", name, name, code, True), Written(name, calls, preamble)


class Shuffled:
    """The sandbox, but with outcomes in another order than that of the programs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def run(self, programs: Iterable[Program]) -> Iterator[tuple[int, Outcome]]:
        finished = list(self.sandbox.run(programs))
        random.Random(3).shuffle(finished)
        return iter(finished)


@pytest.fixture(scope="module")
def runner() -> Iterator[Shuffled]:
    with Sandbox(workers=2) as sandbox:
        yield Shuffled(sandbox)


def run(runner: Shuffled, *jobs: tuple[Function, Written], twice: bool = False) -> dict[str, Executed]:
    return {made.cases.func_name: made for made in execute(runner, jobs, LIMITS, twice=twice)}


def test_values_and_exceptions_are_written_as_officially(runner: Shuffled) -> None:
    """Reprs, and `<class '…'>: message`: the texts that prompts show and that grading compares."""
    made = run(runner, job("f", "return [a][0] / 2", "1", "'x'", "None"), job("g", "return {}[a]", "1"))
    assert [output.text for output in made["f"].cases.example_outputs] == [
        "0.5",
        "<class 'TypeError'>: unsupported operand type(s) for /: 'str' and 'int'",
        "<class 'TypeError'>: unsupported operand type(s) for /: 'NoneType' and 'int'",
    ]
    assert made["g"].cases.example_outputs == [Output("<class 'KeyError'>: 1", True)]
    assert made["f"].cases.parents == ["f"]
    assert made["f"].again is None


def test_inputs_are_recorded_as_before_the_call(runner: Shuffled) -> None:
    """A function that empties its list would otherwise be shown with an empty input."""
    made = run(runner, job("f", "a.clear(); return a", "[1, 2]"))["f"].cases
    assert made.example_inputs == ["{'a': [1, 2]}"]
    assert made.example_outputs == [Output("[]", False)]


def test_the_preamble_is_run_before_the_inputs(runner: Shuffled) -> None:
    """Writers import what their values need."""
    made = run(runner, job("f", "return a.year", "date(2001, 2, 3)", preamble="from datetime import date\n"))
    assert made["f"].cases.example_outputs == [Output("2001", False)]


def test_second_runs_stay_with_their_function_and_show_what_inputs_do_not_decide(runner: Shuffled) -> None:
    """Time, chance and earlier calls would become wrong cases; outcomes arrive in any order."""
    jobs = [
        *(job(f"plain{n}", f"return a + {n}", "1", "2", "3") for n in range(6)),
        job("chance", "import random; return random.random() + a", "1", "2", "3"),
        job("memory", "SEEN.append(a); return len(SEEN)\nSEEN = []\ndef other(a):\n    return 1", "1", "2", "3"),
    ]
    made = run(runner, *jobs, twice=True)
    for n in range(6):
        assert made[f"plain{n}"].again == made[f"plain{n}"].cases.example_outputs
        assert [output.text for output in made[f"plain{n}"].cases.example_outputs] == [f"{n + a}" for a in (1, 2, 3)]
    reasons = {name: drop_reason(row.cases, again=row.again) for name, row in made.items()}
    assert reasons == {name: "not_repeatable" if name in ("chance", "memory") else None for name in made}


class Broken:
    """A sandbox whose every second outcome is a failure of its own."""

    def run(self, programs: Iterable[Program]) -> Iterator[tuple[int, Outcome]]:
        for place, _ in enumerate(programs):
            yield (
                place,
                Outcome("infrastructure" if place % 2 else "ok", (Returned("{'a': 1}", "1"),) * (1 - place % 2)),
            )


def test_a_failure_of_the_sandbox_in_the_second_run_is_no_verdict() -> None:
    """Otherwise a full disk would read as functions that are not repeatable."""
    (made,) = execute(Broken(), [job("f", "return a", "1")], LIMITS, twice=True)
    assert made.cases.status == "infrastructure"


def test_a_function_that_hangs_does_not_hold_up_or_hide_the_others(runner: Shuffled) -> None:
    """One endless loop in a corpus is certain; it is a row with a status."""
    made = run(runner, job("hangs", "while True: pass", "1"), job("f", "return a", "1"))
    assert made["hangs"].cases.status == "timeout"
    assert drop_reason(made["hangs"].cases) == "process_failed"
    assert made["f"].cases.status == "ok"
