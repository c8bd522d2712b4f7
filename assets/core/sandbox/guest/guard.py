"""Runs the tests of a program in another process than the program's, and reports the verdict on descriptor 3.

The tests see what the program defines as references: to call one is to ask the program's process, on descriptor 4.
"""

from __future__ import annotations

import builtins
import importlib
import socket
import sys
import traceback
import types
import unittest
from typing import Any, NoReturn

from assets.core.sandbox.guest import wire
from assets.core.sandbox.guest.programs import describe, end, report
from assets.core.sandbox.guest.remote import FROM_PROGRAM, MALFORMED, Peer, Reference, ReferenceType
from assets.core.sandbox.guest.values import Tree

LINE = 4
FILE = "tests.py"


class Line(Peer):
    """The tests' end. Objects of the tests go without their classes: who can call a class can make what equals all."""

    def link(self, value: Any) -> Tree:
        if isinstance(value, Reference | ReferenceType):
            return super().link(value)
        return ["object", [self.show(value), None]]


def run_tests(tests: str, names: list[str], limit: int) -> None:
    """Run the tests to their end and report `ok`, or why not. The program may send messages of `limit` bytes."""
    channel = socket.socket(fileno=LINE)
    peer = Line(channel, FROM_PROGRAM, lambda name: not names or name in names, limit)
    try:
        _expect(peer, "began")
        report(began=True)
        visible = _visible(peer, names)
    except (OSError, EOFError):
        _verdict("exception", "the program ended before it could be tested")
    except (wire.ProtocolError, *MALFORMED) as error:
        _verdict("refused", str(error))
    module = types.ModuleType("tests")
    sys.modules["tests"] = module
    module.__dict__.update(visible)
    lines = tests.splitlines()
    try:
        exec(compile(tests, FILE, "exec"), module.__dict__)
        failed = _unit_tests(module.__dict__)
    except BaseException as error:
        failed = error
    if peer.failure:
        _verdict("refused" if peer.malformed else "exception", peer.failure)
    if failed is None:
        _verdict("ok", "")
    _verdict(_status(failed), _explain(failed, lines))


def _expect(peer: Peer, kind: str) -> Any:
    found, content = peer.message()
    if found == "failed" and isinstance(content, dict):
        status = "memory" if content.get("type") == "MemoryError" else "exception"
        _verdict(status, f"{content.get('type')}: {content.get('message')}")
    if found != kind:
        raise wire.ProtocolError(f"{found!r} instead of {kind!r}")
    return content


def _visible(peer: Peer, names: list[str]) -> dict[str, Any]:
    """What the tests see of the program. Unasked for, none of its names may hide a builtin or a standard module."""
    visible = {}
    for name, tree in _expect(peer, "defined").items():
        if name in names or not (names or hasattr(builtins, name) or name in sys.stdlib_module_names):
            visible[name] = peer.unpack(tree)
        elif not names and name in sys.stdlib_module_names:
            visible[name] = importlib.import_module(name)
    return visible


def _unit_tests(found: dict[str, Any]) -> BaseException | None:
    """Run the test cases that the tests define; the first failure, a failed assertion before any other error."""
    cases = [kind for kind in found.values() if isinstance(kind, type) and issubclass(kind, unittest.TestCase)]
    failures: list[BaseException] = []

    class Result(unittest.TestResult):
        def addFailure(self, test: Any, err: Any) -> None:
            failures.insert(0, err[1])

        def addError(self, test: Any, err: Any) -> None:
            failures.append(err[1])

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
            if err is not None:
                failures.append(err[1])

        def addUnexpectedSuccess(self, test: Any) -> None:
            failures.append(AssertionError(f"{test} was expected to fail"))

    for case in cases:
        unittest.defaultTestLoader.loadTestsFromTestCase(case).run(Result())
    return failures[0] if failures else None


def _status(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "memory"
    return "wrong" if isinstance(error, AssertionError) else "exception"


def _explain(error: BaseException, lines: list[str]) -> str:
    """The exception, and the line of the tests where it arose."""
    described = describe(error)
    text = f"{described['type']}: {described['message']}" if described["message"] else described["type"]
    numbers = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
    if not numbers or numbers[-1] is None or numbers[-1] > len(lines):
        return text
    return f"{text} (line {numbers[-1]} of the tests: {lines[numbers[-1] - 1].strip()})"


def _verdict(status: str, detail: str) -> NoReturn:
    report(verdict=status, detail=detail)
    end(0)
