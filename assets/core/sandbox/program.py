"""What the sandbox runs, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20
MAX_ANSWER = 8 * MIB
Status = Literal["ok", "wrong", "exception", "timeout", "memory", "refused", "infrastructure"]


@dataclass(frozen=True)
class Limits:
    """What one program may take (our defaults). Tests run in a process of their own, with the same limits.

    `seconds` of wall clock and `cpu_seconds` of processor time for all of it; `memory_bytes` for each process and for
    all together; `file_bytes` of each file, stdin too, and `disk_bytes` of all, which lie in memory; `processes` counts
    threads too; `output_bytes` are kept of stdout and of stderr, and the rest is dropped; `result_bytes` of results at
    most: a program that sends more is refused.
    """

    seconds: float = 10.0
    cpu_seconds: float = 10.0
    memory_bytes: int = 512 * MIB
    file_bytes: int = 16 * MIB
    disk_bytes: int = 64 * MIB
    processes: int = 64
    output_bytes: int = 64 * 1024
    result_bytes: int = 4 * MIB

    def __post_init__(self) -> None:
        if min(vars(self).values()) <= 0:
            raise ValueError(f"{self}: every limit must be above 0")
        if 2 * self.output_bytes + self.result_bytes > MAX_ANSWER:
            raise ValueError(f"{self}: output twice and results must together be at most {MAX_ANSWER} bytes")


@dataclass(frozen=True)
class Calls:
    """Calls of one function of the program: each input is the Python source of a dict of keyword arguments.

    `examples` is source that assigns a list of such dicts to the name `examples`, run after the program's own; its
    inputs come after those of `inputs`.
    """

    function: str
    inputs: tuple[str, ...] = ()
    examples: str = ""


@dataclass(frozen=True)
class Program:
    """Code to run to its end, or to call (`calls`), or to test (`tests`: Python source that raises when a test fails).

    Only a script is `__main__`; else the module is `program`. A script reads `stdin`. Tests see the globals that the
    code defines: those of `names`, or, where it is empty, all but those that would hide a builtin.
    """

    code: str
    calls: Calls | None = None
    tests: str | None = None
    names: tuple[str, ...] = ()
    stdin: str = ""
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if self.calls is not None and self.tests is not None:
            raise ValueError("a program has calls or tests, not both: run it twice")


@dataclass(frozen=True)
class Returned:
    """A call that returned: `repr` of its keyword arguments before the call and of its value."""

    input: str
    value: str


@dataclass(frozen=True)
class Raised:
    """A call that raised: the exception's class as `repr` names it (`ValueError`, `json.decoder.JSONDecodeError`)."""

    input: str
    type: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """How a program ended; `results` are those of its calls, also of those before a timeout.

    `detail` says why it is not ok. `seconds` from sending the program to its answer; `attempts` counts fresh workers.
    """

    status: Status
    results: tuple[Returned | Raised, ...] = ()
    stdout: str = ""
    stderr: str = ""
    detail: str = ""
    seconds: float = 0.0
    attempts: int = 1
