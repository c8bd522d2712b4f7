"""From what happened to a program to its outcome: plain data in and out."""

from __future__ import annotations

import json
from typing import Any, get_args

from assets.core.sandbox.program import Limits, Outcome, Program, Raised, Returned, Status

SIGKILL = -9


class Unusable(Exception):
    """The sandbox failed, not the program: nothing is known about it."""


def judge(program: Program, limits: Limits, facts: dict[str, Any], seconds: float) -> Outcome:
    """The outcome of a program; raises Unusable when the facts tell nothing about it."""
    entries = _entries(facts["report"])
    if not any("began" in entry for entry in entries):
        raise Unusable(f"the program did not begin: {facts['stderr'].strip() or facts['processes']}")
    results = tuple(_result(entry) for entry in entries if "input" in entry)
    status, detail = _status(program, facts, entries, limits)
    return Outcome(status, results, facts["stdout"], facts["stderr"], detail, seconds)


def _entries(report: str) -> list[dict[str, Any]]:
    """The lines of a report that are whole and are objects; the program may have written any others."""
    entries = []
    for line in report.splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _result(entry: dict[str, Any]) -> Returned | Raised:
    if "value" in entry:
        return Returned(str(entry["input"]), str(entry["value"]))
    return Raised(str(entry["input"]), str(entry.get("type")), str(entry.get("message")))


def _status(
    program: Program, facts: dict[str, Any], entries: list[dict[str, Any]], limits: Limits
) -> tuple[Status, str]:
    if facts["stopped"]:
        return _stopped(facts["stopped"], limits)
    if any(process["status"] == SIGKILL and not process["killed"] for process in facts["processes"].values()):
        raise Unusable("killed from outside, probably for want of memory on this machine")
    if program.tests is not None:
        return _tested(entries)
    if any(entry.get("type") == "MemoryError" for entry in entries):
        return "memory", "MemoryError"
    code = facts["processes"]["program"]["status"]
    failure = next((entry for entry in entries if "type" in entry and "input" not in entry), None)
    if failure is not None:
        return "exception", f"{failure['type']}: {failure.get('message', '')}"
    if code < 0:
        return "exception", f"ended by signal {-code}"
    if code > 0 or (program.calls and not any("ended" in entry for entry in entries)):
        return "exception", f"ended with exit status {code}"
    return "ok", ""


def _stopped(reason: str, limits: Limits) -> tuple[Status, str]:
    if reason == "timeout":
        return "timeout", f"still running after {limits.seconds:g} s"
    if reason == "processor":
        return "timeout", f"more than {limits.cpu_seconds:g} s of processor time"
    if reason == "memory":
        return "memory", f"its processes held more than {limits.memory_bytes >> 20} MiB"
    return "refused", f"more than {limits.result_bytes} bytes of results"


def _tested(entries: list[dict[str, Any]]) -> tuple[Status, str]:
    """The guard's verdict. Only tests that leave early, by `os._exit`, give none."""
    for entry in entries:
        if entry.get("verdict") in get_args(Status):
            return entry["verdict"], str(entry.get("detail"))
    return "exception", "the tests ended without a verdict"
