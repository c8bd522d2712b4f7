"""What programs are answered, in order, under failures, and where there is no isolation."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from assets.core.errors import AthanorError
from assets.core.sandbox import Calls, Limits, Outcome, Program, Raised, Returned, Sandbox
from assets.core.sandbox.worker import GUEST
from assets.core.sources import module_closure

ENDLESS = "while True: pass"


def run(sandbox: Sandbox, program: Program) -> Outcome:
    [(_, outcome)] = sandbox.run([program])
    return outcome


@pytest.mark.parametrize(
    ("code", "status", "detail"),
    [
        ("print('done')", "ok", ""),
        ("raise SystemExit", "ok", ""),
        ("1 / 0", "exception", "ZeroDivisionError: division by zero"),
        ("def", "exception", "SyntaxError: invalid syntax (program.py, line 1)"),
        ("raise SystemExit(3)", "exception", "ended with exit status 3"),
        ("import os; os._exit(7)", "exception", "ended with exit status 7"),
        ("import ctypes; ctypes.string_at(0)", "exception", "ended by signal 11"),
        (ENDLESS, "timeout", "still running after 0.3 s"),
        ("bytearray(1 << 40)", "memory", "MemoryError"),
        ("\ud800", "exception", "UnicodeEncodeError"),
        ("x" * (5 << 20), "refused", "the source has more than 4194304 characters"),
    ],
)
def test_scripts(sandbox: Sandbox, code: str, status: str, detail: str) -> None:
    """Protects each way in which a script ends."""
    outcome = run(sandbox, Program(code, limits=Limits(seconds=0.3 if status == "timeout" else 9)))
    assert (outcome.status, outcome.detail[: len(detail)]) == (status, detail)
    assert outcome.attempts == 1


def test_a_script_is_run_as_python_runs_it(sandbox: Sandbox) -> None:
    """Protects stdin, both outputs, `__main__`, threads that outlive the last line, and what runs at exit."""
    code = """
import atexit, sys, threading, time
atexit.register(print, "at exit")
def late():
    time.sleep(0.05)
    print("late")
threading.Thread(target=late).start()
print(__name__, sys.argv, input(), sys.stdin.read())
print("to stderr", file=sys.stderr)
"""
    outcome = run(sandbox, Program(code, stdin="one\ntwo\n" + "x" * 100_000))
    assert outcome.status == "ok"
    assert outcome.stdout == f"__main__ ['program.py'] one two\n{'x' * 100_000}\nlate\nat exit\n"[: 64 * 1024]
    assert outcome.stderr == "to stderr\n"
    trace = run(sandbox, Program("def f():\n    return 1 / 0\nf()")).stderr
    assert trace.startswith('Traceback (most recent call last):\n  File "program.py", line 3, in <module>\n')


def test_processor_time_is_limited(sandbox: Sandbox) -> None:
    """Protects the limit that a busy machine does not change; children count, living or not."""
    shared = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    for code in (ENDLESS, shared):
        outcome = run(sandbox, Program(code, limits=Limits(seconds=20, cpu_seconds=0.3)))
        assert (outcome.status, outcome.detail) == ("timeout", "more than 0.3 s of processor time")


def test_calls(sandbox: Sandbox) -> None:
    """Protects results: typed, in order, with the input as it was before the call, and each call on its own."""
    code = "def f(a, b=1):\n    a.append(b)\n    return a if b else a / b\n"
    calls = Calls(
        "f", ("dict(a=[1])", "{'a': [], 'b': 0}", "dict(c=1)", "dict(a=1/0)"), "examples = [dict(a=[9], b={2})]"
    )
    outcome = run(sandbox, Program(code, calls=calls))
    assert outcome.status == "ok"
    assert outcome.results == (
        Returned("{'a': [1]}", "[1, 1]"),
        Raised("{'a': [], 'b': 0}", "TypeError", "unsupported operand type(s) for /: 'list' and 'int'"),
        Raised("{'c': 1}", "TypeError", "f() got an unexpected keyword argument 'c'"),
        Raised("", "ZeroDivisionError", "division by zero"),
        Returned("{'a': [9], 'b': {2}}", "[9, {2}]"),
    )


def test_calls_name_exceptions_and_keep_what_came_before(sandbox: Sandbox) -> None:
    """Protects the exception's class as `repr` names it, and the results before a timeout or an end."""
    code = "import json, os\nclass E(Exception): pass\ndef f(x):\n    if x == 0: raise E('no')\n"
    code += "    if x == 1: json.loads('')\n    if x == 2: os._exit(0)\n    if x == 3: bytearray(1 << 40)\n"
    code += "    while x == 4: pass\n    return x"
    inputs = ("dict(x=0)", "dict(x=1)", "dict(x=2)")
    outcome = run(sandbox, Program(code, calls=Calls("f", inputs)))
    assert (outcome.status, outcome.detail) == ("exception", "ended with exit status 0")
    assert [result.type for result in outcome.results if isinstance(result, Raised)] == [
        "program.E", "json.decoder.JSONDecodeError",
    ]  # fmt: skip
    assert run(sandbox, Program(code, calls=Calls("f", ("dict(x=3)", "dict(x=9)")))).status == "memory"
    late = run(sandbox, Program(code, calls=Calls("f", ("dict(x=9)", "dict(x=4)")), limits=Limits(seconds=0.3)))
    assert (late.status, late.results) == ("timeout", (Returned("{'x': 9}", "9"),))
    assert run(sandbox, Program(code, calls=Calls("g", inputs))).detail == "KeyError: 'g'"
    assert run(sandbox, Program("1 / 0", calls=Calls("f", inputs))).status == "exception"


def test_results_are_bounded(sandbox: Sandbox) -> None:
    """Protects the host's memory from large results."""
    limits = Limits(result_bytes=10_000)
    outcome = run(sandbox, Program("def f(x): return 'y' * x", calls=Calls("f", ("dict(x=99999)",)), limits=limits))
    assert (outcome.status, outcome.detail) == ("refused", "more than 10000 bytes of results")


@pytest.mark.parametrize(
    ("code", "tests", "status", "detail"),
    [
        ("def f(x): return x + 1", "assert f(1) == 2", "ok", ""),
        (
            "def f(x): return x",
            "\nassert f(1) == 2, f(1)",
            "wrong",
            "AssertionError: 1 (line 2 of the tests: assert f(1)",
        ),
        (
            "def f(x): return 1 / x",
            "f(0)",
            "exception",
            "ZeroDivisionError: division by zero (line 1 of the tests: f(0))",
        ),
        ("def f(x): return bytearray(x)", "f(1 << 40)", "memory", "MemoryError"),
        ("bytearray(1 << 40)", "f(1)", "memory", "MemoryError"),
        ("def f(x):\n    while True: pass", "f(1)", "timeout", "still running after 0.3 s"),
        ("def f(x): return x", "while True: pass", "timeout", "still running after 0.3 s"),
        ("1 / 0", "pass", "exception", "ZeroDivisionError: division by zero"),
        ("def f(x): return x", "assert f(", "exception", "SyntaxError"),
        ("def f(x): return 'y' * x", "f(9 << 20)", "refused", "a message of 9437201 bytes, 4194304 allowed"),
        ("", "import os; os._exit(0)", "exception", "the tests ended without a verdict"),
        ("", "raise SystemExit", "exception", "SystemExit"),
    ],
)
def test_verdicts(sandbox: Sandbox, code: str, tests: str, status: str, detail: str) -> None:
    """Protects each way in which tests end."""
    outcome = run(sandbox, Program(code, tests=tests, limits=Limits(seconds=0.3 if status == "timeout" else 9)))
    assert (outcome.status, outcome.detail[: len(detail)]) == (status, detail)
    assert outcome.attempts == 1


SEEN_BY_TESTS = {
    "values": (
        """
from collections import *
from decimal import Decimal
from fractions import Fraction
import datetime
def f(x): return x
def kinds(x): return type(x).__name__
""",
        """
values = [None, True, 1 << 99, -0.0, 1e300, 'é', b'x', (1, [2]), {1: {2}}, frozenset({3}), 1j, range(3), ...,
    Counter('aab'), OrderedDict(a=1), defaultdict(list, a=[1]), deque([1], 3), Decimal('1.10'), Fraction(1, 3),
    datetime.date(2024, 2, 29), datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.timedelta(1, 2, 3), int, ValueError]
for value in values:
    assert f(value) == value and repr(f(value)) == repr(value), value
    assert kinds(value) == type(value).__name__
""",
    ),
    "classes": (
        """
class P:
    count = 0
    def __init__(self, a): self.a = a; P.count += 1
    def twice(self): return 2 * self.a
    @staticmethod
    def make(a): return P(a)
    def __len__(self): return 3
    def __repr__(self): return 'P!'
class Q(P): pass
def inner(p): return p.a
def same(p): return p
""",
        """
p, q = P(4), Q([1])
assert isinstance(q, P) and isinstance(q, Q) and not isinstance(p, Q)
assert p.twice() == 8 and P.make(1).a == 1 and inner(q) == [1] and len(p) == 3 and repr(p) == 'P!'
p.a = 7
assert inner(p) == 7 and same(p) is p and same(p) == p and P(1) != P(1) and P.count == 5
assert same(P) is P and type(q).__name__ == 'Q'
""",
    ),
    "exceptions": (
        """
class Low(ValueError): pass
class Lower(Low): pass
def f(kind): raise {'low': Low('a', 1), 'lower': Lower(), 'key': KeyError('k'), 'exit': SystemExit(2),
    'text': UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad')}[kind]
""",
        """
import unittest
class T(unittest.TestCase):
    def test(self):
        with self.assertRaises(Low) as caught: f('low')
        self.assertEqual(caught.exception.args, ('a', 1))
        for kind, expected in (('lower', Low), ('lower', ValueError), ('key', KeyError), ('exit', SystemExit),
                               ('text', UnicodeDecodeError)):
            with self.subTest(kind), self.assertRaises(expected): f(kind)
""",
    ),
    "callbacks": (
        """
def apply(g, xs): return [g(x) for x in xs]
def add(n): return lambda x: x + n
def gen(n): yield from range(n)
def total(xs): return sum(xs)
def fails(g):
    try: g()
    except KeyError as e: return e.args
""",
        """
seen = []
assert apply(lambda x: seen.append(x) or x * 2, [1, 2]) == [2, 4] and seen == [1, 2]
assert add(2)(3) == 5 and apply(add(1), [1]) == [2] and list(gen(3)) == [0, 1, 2] and next(gen(3)) == 0
assert total(x for x in (1, 2)) == 3 and fails({}.popitem) == ('popitem(): dictionary is empty',)
""",
    ),
    "arguments changed": (
        """
def f(a, b, c): a.sort(); b['k'] = a; c.add(9)
""",
        """
a, b, c = [3, 1], {}, {1}
f(a, b, c)
assert (a, b, c) == ([1, 3], {'k': [1, 3]}, {1, 9})
""",
    ),
    "modules and constants": (
        """
import math
from math import sqrt
import os.path as p
LIMIT = [1, 2]
len = None
""",
        """
assert math.floor(2.5) == 2 and sqrt(4) == 2 and LIMIT == [1, 2] and len([1]) == 1 and p.join('a', 'b') == 'a/b'
""",
    ),
    "what holds itself": (
        """
def f():
    x = []
    x.append(x)
    return x
""",
        """
assert len(f()) == 1 and f() != []
""",
    ),
    "standard input closed": (
        "",
        """
try:
    input()
except EOFError:
    pass
else:
    assert False
""",
    ),
}


@pytest.mark.parametrize(("code", "tests"), SEEN_BY_TESTS.values(), ids=SEEN_BY_TESTS)
def test_tests_see_the_program_as_if_it_were_theirs(sandbox: Sandbox, code: str, tests: str) -> None:
    """Protects right programs from being called wrong because they run in another process than their tests."""
    outcome = run(sandbox, Program(code, tests=tests))
    assert outcome.status == "ok", outcome


def test_unit_tests_count_all_failures(sandbox: Sandbox) -> None:
    """Protects the verdict of test cases: wrong for a failed assertion even where another test raised before it."""
    tests = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.assertEqual(f(1), {a})\n"
    tests += "    def test_b(self): {b}\n"
    code = "def f(x): return x"
    for a, b, status in ((1, "pass", "ok"), (2, "pass", "wrong"), (2, "1 / 0", "wrong"), (1, "1 / 0", "exception")):
        assert run(sandbox, Program(code, tests=tests.format(a=a, b=b))).status == status
    setup = tests.format(a=1, b="pass") + "    @classmethod\n    def setUpClass(cls): raise OSError\n"
    assert run(sandbox, Program(code, tests=setup)).status == "exception"


def test_names_may_be_those_of_builtins(sandbox: Sandbox) -> None:
    """Protects tasks that ask for a function named like a builtin."""
    program = Program("def sum(a, b): return a * b", tests="assert sum(3, 4) == 12", names=("sum",))
    assert run(sandbox, program).status == "ok"


def test_the_same_program_answers_the_same(sandbox: Sandbox) -> None:
    """Protects fingerprints: order of sets, clock zone and language do not depend on the run."""
    code = "import time\nprint({'a', 'b', 'c', 'd'}, hash('x'), time.tzname, ascii('ä'.upper()))"
    assert len({outcome.stdout for _, outcome in sandbox.run([Program(code)] * 6)}) == 1


def test_programs_are_taken_as_there_is_room() -> None:
    """Protects streaming: an endless source is not drained ahead, and what was not wanted is not run."""
    taken = itertools.count()
    source = (Program(f"print({number})") for number in taken)
    with Sandbox(workers=2) as sandbox:
        outcomes = sandbox.run(source)
        first = dict(itertools.islice(outcomes, 20))
        outcomes.close()  # type: ignore[attr-defined]
    assert next(taken) <= 20 + 2 * 2 + 1
    assert all(outcome.stdout == f"{index}\n" for index, outcome in first.items())


def test_a_slow_program_does_not_hold_up_the_others() -> None:
    """Protects throughput: outcomes come as they are finished."""
    programs = [Program("import time; time.sleep(1)"), *[Program("pass")] * 6]
    with Sandbox(workers=2) as sandbox:
        order = [index for index, _ in sandbox.run(programs)]
    assert order[-1] == 0
    assert sorted(order) == list(range(7))


def bubblewraps() -> list[psutil.Process]:
    """The bubblewraps that this process has started."""
    return [child for child in psutil.Process().children() if child.name() == "bwrap"]


def test_a_killed_worker_is_replaced() -> None:
    """Protects scores: programs whose worker died in mid-run are run again, and none of them is called wrong."""
    code = "import time\ndef f(x):\n    time.sleep(0.3)\n    return x"
    programs = [Program(code, tests=f"assert f({number}) == {number}") for number in range(6)]
    with Sandbox(workers=2) as sandbox:
        killer = threading.Timer(0.15, lambda: [process.kill() for process in bubblewraps()])
        killer.start()
        outcomes = dict(sandbox.run(programs))
        killer.join()
    assert [outcomes[number].status for number in range(6)] == ["ok"] * 6
    assert max(outcome.attempts for outcome in outcomes.values()) == 2


def test_a_program_that_breaks_its_workers_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects scores: after three workers it is an infrastructure failure, and the others have their outcomes."""
    stop = threading.Event()

    def kill_what_sleeps() -> None:
        while not stop.is_set():
            for bubblewrap in bubblewraps():
                for process in bubblewrap.children(recursive=True):
                    try:
                        if process.status() == psutil.STATUS_STOPPED:
                            bubblewrap.kill()
                    except psutil.NoSuchProcess:
                        pass
            time.sleep(0.01)

    killer = threading.Thread(target=kill_what_sleeps)
    with Sandbox(workers=2) as sandbox:
        killer.start()
        stops = Program("import os, signal\nif os.fork() == 0:\n    os.kill(os.getpid(), signal.SIGSTOP)\nos.wait()")
        outcomes = dict(sandbox.run([Program("print(1)"), stops, Program("print(2)")]))
        stop.set()
        killer.join()
    assert [outcomes[index].status for index in range(3)] == ["ok", "infrastructure", "ok"]
    assert (outcomes[1].attempts, outcomes[1].detail[:18]) == (3, "the worker is gone")


def test_a_program_killed_from_outside_is_run_again() -> None:
    """Protects scores on a machine that runs out of memory: the kernel's choice of a process is no verdict."""
    with Sandbox(workers=1) as sandbox:
        killed = threading.Event()

        def kill_once() -> None:
            while not killed.is_set():
                for bubblewrap in bubblewraps():
                    for process in bubblewrap.children(recursive=True):
                        try:
                            if (
                                not process.children()
                                and "S" in process.status().upper()
                                and process.num_threads() == 2
                            ):
                                process.kill()
                                killed.set()
                        except psutil.NoSuchProcess:
                            pass

        killer = threading.Thread(target=kill_once)
        killer.start()
        code = "import threading, time\nif __name__: threading.Thread(target=time.sleep, args=(0.5,)).start()"
        outcome = run(sandbox, Program(code))
        killer.join()
    assert (outcome.status, outcome.attempts) == ("ok", 2)


def test_nothing_is_left_running() -> None:
    """Protects the machine: closing, also in the middle of a run, ends all processes."""
    sandbox = Sandbox(workers=2)
    outcomes = sandbox.run([Program("pass"), *[Program(ENDLESS)] * 3])
    next(outcomes)
    processes = [
        process for bubblewrap in bubblewraps() for process in (bubblewrap, *bubblewrap.children(recursive=True))
    ]
    assert len(processes) >= 4
    started = time.monotonic()
    sandbox.close()
    assert time.monotonic() - started < 5
    assert not psutil.wait_procs(processes, timeout=5)[1]


def test_without_bubblewrap_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects this machine: there is no lower level that a missing package would lead to."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AthanorError, match="apt-get install bubblewrap"):
        Sandbox()


def test_where_namespaces_are_forbidden_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects users of locked-down machines: bubblewrap's own words, and what to allow."""
    forbidden = tmp_path / "bwrap"
    forbidden.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    forbidden.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(AthanorError, match=r"No permissions to create new namespace\n.*user namespaces"):
        Sandbox()


def test_identity_tells_what_answers_depend_on(sandbox: Sandbox) -> None:
    """Protects fingerprints: other limits may give other outcomes; the number of workers may not."""
    with Sandbox(workers=1, limits=sandbox.limits) as fewer:
        assert fewer.identity() == sandbox.identity()
    with Sandbox(workers=1, limits=Limits(seconds=1)) as other:
        assert other.identity() != sandbox.identity()
    assert sandbox.identity()["level"] == sandbox.level == "bubblewrap"


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"processes": -1}, {"result_bytes": 1 << 30}])
def test_limits_that_mean_nothing_are_refused(limits: dict[str, int]) -> None:
    """Protects from a limit of 0, which the system reads as none, and from answers that cannot be sent."""
    with pytest.raises(ValueError, match="Limits"):
        Limits(**limits)


def test_a_program_has_one_kind() -> None:
    """Protects from tests that would silently not run."""
    with pytest.raises(ValueError, match="not both"):
        Program("", calls=Calls("f"), tests="pass")


def test_what_runs_inside_counts_in_fingerprints() -> None:
    """Protects fingerprints: a change of the code inside the sandbox makes what it answered stale."""
    counted = module_closure("assets.core.sandbox.sandbox")
    inside = {path.stem for path in GUEST.glob("*.py")} - {"__init__"}
    assert {f"assets.core.sandbox.guest.{name}" for name in inside} <= set(counted)
