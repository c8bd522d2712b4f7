"""Runs a script, calls a function, or serves tests, in this process; descriptor 3 takes the report or the questions.

The program shares this process and may do to it what it likes: a report is the program's own word, and no verdict.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import sys
import types
from typing import Any, NoReturn

from assets.core.sandbox.guest import wire
from assets.core.sandbox.guest.remote import OPERATIONS, Peer

REPORT = 3
FILE = "program.py"


def report(**entry: object) -> None:
    """Write one line of the report at once, so that it outlives the process."""
    line = json.dumps(entry).encode() + b"\n"
    while line:
        line = line[os.write(REPORT, line) :]


def load(code: str, name: str) -> dict[str, Any]:
    """Run the code as the module `name`; its globals."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, FILE, "exec"), module.__dict__)
    return module.__dict__


def run_script(program: dict[str, Any]) -> None:
    """Run the code to its end as `python program.py` would."""
    if program["stdin"]:
        offer(program["stdin"])
    report(began=True)
    status = 0
    try:
        load(program["code"], "__main__")
    except SystemExit as error:
        status = leave(error)
    except BaseException as error:
        report(**describe(error))
        show(error)
        status = 1
    end(status)


def offer(text: str) -> None:
    """Let descriptor 0 read the text. From a file without a name: a pipe could fill up."""
    with open(os.open("/tmp", os.O_TMPFILE | os.O_RDWR), "wb") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.seek(0)
        os.dup2(file.fileno(), 0)


def run_calls(program: dict[str, Any]) -> None:
    """Run the code, then call its function on each input; the inputs are evaluated among the code's globals."""
    report(began=True)
    calls = program["calls"]
    try:
        names = load(program["code"], "program")
        function = names[calls["function"]]
        if calls["examples"]:
            exec(compile(calls["examples"], "examples.py", "exec"), names)
    except BaseException as error:
        report(**describe(error))
        show(error)
        end(1)
    for source in calls["inputs"]:
        call(function, lambda source=source: eval(source, names))
    for example in names.get("examples", ()) if calls["examples"] else ():
        call(function, lambda example=example: example)
    report(ended=True)
    end(0)


def serve_tests(program: dict[str, Any]) -> None:
    """Run the code, tell the tests what it defines, and do what they ask for until they are gone."""
    channel = socket.socket(fileno=REPORT)
    peer = Peer(channel, frozenset(OPERATIONS), lambda name: True, wire.MAX_MESSAGE)
    wire.send(channel, ["began", None])
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        defined = load(program["code"], "program")
    except BaseException as error:
        show(error)
        wire.send(channel, ["failed", describe(error)])
        end(1)
    wanted = program["names"] or [name for name in defined if not name.startswith("__")]
    wire.send(channel, ["defined", {name: peer.pack(defined[name]) for name in wanted if name in defined}])
    peer.serve()
    end(0)


def call(function: Any, make: Any) -> None:
    """Report one call. What the input or `repr` raises counts as raised by the call."""
    shown = ""
    try:
        keywords = make()
        shown = repr(keywords)
        result: dict[str, object] = {"input": shown, "value": repr(function(**keywords))}
    except BaseException as error:
        result = {"input": shown, **describe(error)}
    report(**result)


def describe(error: BaseException) -> dict[str, str]:
    """Class and message of an exception. Its `__str__` is the program's and may itself raise."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except BaseException:
        message = ""
    return {"type": name, "message": message}


def show(error: BaseException) -> None:
    """Print the traceback as Python does, without the frames of this module."""
    with contextlib.suppress(BaseException):
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)


def leave(error: SystemExit) -> int:
    """The exit status that `sys.exit` asked for."""
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    with contextlib.suppress(BaseException):
        print(error.code, file=sys.stderr)
    return 1


def end(status: int) -> NoReturn:
    """Wait for threads, run what `atexit` holds, flush, and leave without taking the interpreter down."""
    with contextlib.suppress(BaseException):
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(status)
