"""Which executed functions become training data, and why the others do not. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from assets.case2code.normalise import same_repr, sorted_sets
from assets.case2code.schema import ADDRESS, Cases, Output

DropReason = Literal[
    "process_failed",
    "missing",
    "count_mismatch",
    "malformed_return",
    "all_errors",
    "address",
    "not_repeatable",
    "few_values",
    "all_identical",
]


def drop_reason(
    cases: Cases,
    *,
    again: Sequence[Output] | None = None,
    drop_addresses: bool = True,
    drop_identical: bool = False,
    min_values: int = 1,
    tolerance: float = 1e-9,
) -> DropReason | None:
    """The first reason to drop a function, or None. Those up to `all_errors` are the official filter's
    (filter_code_from_exec.py). Its rule against identical outputs is commented out; `all_identical` is stricter than
    that was: a constant function stays one if some inputs make it raise.

    `again` are the outputs of a second run in another process: one that differs depends on more than its inputs.
    Raises ValueError for an infrastructure failure, which says nothing of the function.
    """
    outputs = cases.example_outputs
    values = [output.text for output in outputs if not output.is_error]
    if cases.status == "infrastructure":
        raise ValueError(f"{cases.id}: not run ({cases.detail}); send it to the dead letters")
    if cases.status != "ok":
        return "process_failed"
    if not outputs and not cases.example_inputs:
        return "missing"
    if len(cases.example_inputs) != len(outputs) or len(cases.arguments) != len(outputs):
        return "count_mismatch"
    if any(not output.text for output in outputs):
        return "malformed_return"
    if not values:
        return "all_errors"
    if drop_addresses and any(ADDRESS in text for text in (*cases.example_inputs, *(o.text for o in outputs))):
        return "address"
    if again is not None and not same_outputs(outputs, again, tolerance):
        return "not_repeatable"
    if len(values) < min_values:
        return "few_values"
    if drop_identical and len(set(values)) == 1:
        return "all_identical"
    return None


def same_outputs(first: Sequence[Output], second: Sequence[Output], tolerance: float) -> bool:
    """Whether two runs answered alike: values by `same_repr`, exceptions by their text."""
    return len(first) == len(second) and all(
        a.is_error == b.is_error and (a.text == b.text if a.is_error else same_repr(a.text, b.text, tolerance))
        for a, b in zip(first, second, strict=True)
    )


def with_sorted_sets(cases: Cases) -> tuple[Cases, int]:
    """The cases with sets in a fixed order, and how many outputs that changed."""
    outputs = [
        output if output.is_error else Output(sorted_sets(output.text), False) for output in cases.example_outputs
    ]
    changed = sum(before != after for before, after in zip(cases.example_outputs, outputs, strict=True))
    return (replace(cases, example_outputs=outputs), changed) if changed else (cases, 0)


def choose_cases(cases: Cases, n: int, max_errors: int) -> Cases:
    """At most `n` of many calls, at most `max_errors` of them exceptions; one of each distinct output before more.

    Most of a fuzzer's calls are exceptions: all of them would teach little else.
    """
    outputs = cases.example_outputs
    seen: set[Output] = set()
    firsts: list[int] = []
    repeats: list[int] = []
    for index, output in enumerate(outputs):
        (repeats if output in seen else firsts).append(index)
        seen.add(output)
    errors = [index for index in (*firsts, *repeats) if outputs[index].is_error][:max_errors]
    values = [index for index in (*firsts, *repeats) if not outputs[index].is_error][: n - len(errors)]
    kept = sorted([*values, *errors])
    return replace(
        cases,
        arguments=[cases.arguments[index] for index in kept],
        example_inputs=[cases.example_inputs[index] for index in kept],
        example_outputs=[outputs[index] for index in kept],
    )
