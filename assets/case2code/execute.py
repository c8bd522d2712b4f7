"""Running functions on their inputs, always in the sandbox: from written inputs to cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from assets.case2code.schema import Cases, Function, Output, Written, examples_source
from assets.core.ids import content_id
from assets.core.sandbox.program import Calls, Limits, Outcome, Program, Raised, Returned


class Runner(Protocol):
    """What runs programs: the sandbox."""

    def run(self, programs: Iterable[Program]) -> Iterator[tuple[int, Outcome]]:
        """Each program's place and outcome, in any order."""
        ...


class Executed(NamedTuple):
    """The cases of a function, and the outputs of its second run (None: not asked for)."""

    cases: Cases
    again: list[Output] | None


def execute(
    sandbox: Runner, jobs: Iterable[tuple[Function, Written]], limits: Limits, *, twice: bool
) -> Iterator[Executed]:
    """Calls each function on each of its inputs, in any order of functions.

    `twice` asks for a second run in a process of its own, from the last input to the first: what the clock, a random
    number or an earlier call decides comes out otherwise there. Where the sandbox failed in either, the cases say so.
    """
    running: dict[int, tuple[Function, Written]] = {}
    first: dict[int, Outcome] = {}
    runs = 2 if twice else 1

    def programs() -> Iterator[Program]:
        for place, (function, written) in enumerate(jobs):
            running[place] = (function, written)
            yield make_program(function, written, limits)
            if twice:
                yield make_program(function, written, limits, backwards=True)

    for place, outcome in sandbox.run(programs()):
        job, run = divmod(place, runs)
        if runs == 1:
            yield Executed(make_cases(*running.pop(job), outcome), None)
        elif job not in first:
            first[job] = outcome
        else:
            forwards, backwards = (first.pop(job), outcome) if run else (outcome, first.pop(job))
            told = backwards if backwards.status == "infrastructure" else forwards
            yield Executed(make_cases(*running.pop(job), told), make_outputs(backwards)[::-1])


def make_program(function: Function, written: Written, limits: Limits, *, backwards: bool = False) -> Program:
    """The program that calls a function on the inputs written for it."""
    calls = written.calls[::-1] if backwards else written.calls
    examples = f"{written.preamble}{examples_source(calls)}\n"
    return Program(function.code, Calls(function.func_name, examples=examples), limits=limits)


def make_cases(function: Function, written: Written, outcome: Outcome) -> Cases:
    """What the sandbox answered, beside what was asked."""
    return Cases(
        id=content_id(function.id, written.preamble, examples_source(written.calls)),
        parents=[function.id],
        func_name=function.func_name,
        code=function.code,
        arguments=written.calls,
        preamble=written.preamble,
        example_inputs=[result.input for result in outcome.results],
        example_outputs=make_outputs(outcome),
        status=outcome.status,
        detail=outcome.detail,
    )


def make_outputs(outcome: Outcome) -> list[Output]:
    """Values by their repr, exceptions as the official executor writes them: `<class 'IndexError'>: message`."""
    return [_output(result) for result in outcome.results]


def _output(result: Returned | Raised) -> Output:
    match result:
        case Returned(value=value):
            return Output(value, is_error=False)
        case Raised(type=kind, message=message):
            return Output(f"<class '{kind}'>: {message}", is_error=True)
