"""Rows of Case2Code: functions, the inputs written for them, and what they answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

# What the `repr` of an object without one of its own shows: another in every process.
ADDRESS = " at 0x"
# One call by keyword: the name of each argument and the source of its value.
Arguments = tuple[tuple[str, str], ...]
ExecStatus = Literal["ok", "wrong", "exception", "timeout", "memory", "refused", "infrastructure"]


@dataclass(frozen=True, slots=True)
class Function:
    """A program to learn. `code` runs on its own; `name` is the qualified name in the module, `func_name` the one that
    `code` defines. `self_contained` functions needed nothing of their module."""

    id: str
    package: str
    module: str
    name: str
    func_name: str
    code: str
    self_contained: bool
    parents: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """The inputs written for one function. `preamble` is source that theirs needs beside it.

    `problem` says why there are none; `truncated` that the last answer was cut off, which the official code marks by
    `<|NONSTOP|>`; `tries` and `completion_tokens` what they cost.
    """

    function_id: str
    calls: list[Arguments]
    preamble: str = ""
    problem: str | None = None
    truncated: bool = False
    tries: int = 1
    completion_tokens: int = 0


class Output(NamedTuple):
    """What one call answered: the `repr` of its value, or `<class '…'>: message` of its exception."""

    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Cases:
    """A function and its calls: the sources of the arguments, their reprs before the call, and the outputs, in step.

    `preamble` is source that theirs needs beside the function. A program that did not run to its end has a `status`
    other than ok, which `detail` explains.
    """

    id: str
    func_name: str
    code: str
    arguments: list[Arguments]
    example_inputs: list[str]
    example_outputs: list[Output]
    status: ExecStatus
    detail: str = ""
    preamble: str = ""
    parents: list[str] = field(default_factory=list)


def examples_source(calls: Iterable[Arguments]) -> str:
    """The calls as Python source: a list named `examples` of `dict(name=value)`."""
    return "".join(["examples = [\n", *(f"    {keyword_dict(arguments)},\n" for arguments in calls), "]"])


def keyword_dict(arguments: Arguments) -> str:
    """One call's arguments as the source `dict(a=1, b='x')`."""
    return f"dict({', '.join(f'{name}={value}' for name, value in arguments)})"
