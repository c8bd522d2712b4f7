"""Runs one program in its cells and tells what happened: nothing is judged here."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import socket
import time
from functools import partial
from typing import Any

from assets.core.sandbox.guest import wire
from assets.core.sandbox.guest.cell import Cells
from assets.core.sandbox.guest.guard import run_tests
from assets.core.sandbox.guest.programs import run_calls, run_script, serve_tests

LOOK_SECONDS = 0.02
MS = 1000
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Capture:
    """The first `limit` bytes out of a pipe; more is read and dropped, so that a writer never waits."""

    def __init__(self, limit: int) -> None:
        self.reading, self.writing = os.pipe2(os.O_CLOEXEC)
        self.limit = limit
        self.kept = bytearray()
        self.full = False

    def read(self) -> bool:
        """Take what is there; False at the end."""
        part = os.read(self.reading, 1 << 16)
        room = self.limit - len(self.kept)
        self.full = self.full or len(part) > room
        self.kept += part[:room]
        return bool(part)


class Supervisor:
    """The cells of one program, until all have ended and their pipes are read out."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.limits = limits
        self.running: dict[int, tuple[int, str]] = {}
        self.killed: set[str] = set()
        self.ended: dict[str, dict[str, int]] = {}
        self.stopped = ""
        self.poll = select.poll()

    def watch(self, process: int, role: str) -> None:
        handle = os.pidfd_open(process)
        self.running[handle] = (process, role)
        self.poll.register(handle, select.POLLIN)

    def stop(self, reason: str = "") -> None:
        """Kill every cell and, with its first process, all that it started."""
        self.stopped = self.stopped or reason
        for process, role in self.running.values():
            self.killed.add(role)
            os.kill(process, signal.SIGKILL)

    def run(self, captures: tuple[Capture, ...], report: Capture) -> None:
        """Wait for the end of all cells, or stop them at a limit."""
        open_pipes = {capture.reading: capture for capture in captures}
        for reading in open_pipes:
            self.poll.register(reading, select.POLLIN)
        now = time.monotonic()
        deadline, look = now + self.limits["seconds"], now + LOOK_SECONDS
        while self.running or open_pipes:
            wait = deadline if self.stopped else min(deadline, look)
            for handle, _ in self.poll.poll(max(0, (wait - now) * MS)):
                if handle in self.running:
                    self._reap(handle)
                elif not open_pipes[handle].read():
                    self.poll.unregister(handle)
                    os.close(open_pipes.pop(handle).reading)
            now = time.monotonic()
            if report.full:
                self.stop("results")
            if now >= deadline:
                self.stop("timeout")
                deadline = now + 1
            elif now >= look and not self.stopped:
                held, taken = usage()
                if held > self.limits["memory_bytes"]:
                    self.stop("memory")
                elif taken > self.limits["cpu_seconds"]:
                    self.stop("processor")
                look = now + LOOK_SECONDS

    def _reap(self, handle: int) -> None:
        process, role = self.running.pop(handle)
        self.poll.unregister(handle)
        os.close(handle)
        _, own_limit = resource.prlimit(process, resource.RLIMIT_CPU)
        _, status = os.waitpid(process, 0)
        self.ended[role] = {
            "status": os.waitstatus_to_exitcode(status),
            # The kernel ends a process at a limit of processor time, but only the program itself can have set one.
            "killed": role in self.killed or own_limit != resource.RLIM_INFINITY,
        }
        if role == "guard":
            self.stop()


def usage() -> tuple[int, float]:
    """Bytes that the processes of all cells hold, pages of files left out, and seconds of processor time they took.

    They are all that are to be seen here but init, the zygote and this one.
    """
    held, taken = 0, 0
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getppid(), os.getpid()):
            with contextlib.suppress(OSError):
                for line in _read(f"/proc/{name}/status").splitlines():
                    if line.startswith(("RssAnon", "RssShmem")):
                        held += 1024 * int(line.split()[1])
                # A process's name stands in brackets and may hold anything; its own and its children's times follow.
                taken += sum(map(int, _read(f"/proc/{name}/stat").rpartition(")")[2].split()[11:15]))
    return held, taken / CLOCK_TICKS


def _read(path: str) -> str:
    with open(path, errors="replace") as file:
        return file.read()


def supervise(cells: Cells, channel: socket.socket) -> None:
    """Run the program that the host sends; send what came out of it and how its processes ended.

    The tests are read after the program was forked: it could find the answers in its memory. Raises when the program
    cannot be started; what the host has sent is then not read to its end, and the worker cannot go on.
    """
    program: dict[str, Any] = wire.receive(channel)  # type: ignore[assignment]
    limits = program["limits"]
    out, err, report = (Capture(limits[name]) for name in ("output_bytes", "output_bytes", "result_bytes"))
    supervisor = Supervisor(limits)
    streams = (os.open("/dev/null", os.O_RDONLY), out.writing, err.writing)
    if program["tested"]:
        theirs, guards = socket.socketpair()
        supervisor.watch(cells.start(partial(serve_tests, program), (*streams, theirs.fileno()), limits), "program")
        theirs.close()
        work = partial(run_tests, str(wire.receive(channel)), program["names"], limits["result_bytes"])
        supervisor.watch(cells.start(work, (*streams, report.writing, guards.fileno()), limits), "guard")
        guards.close()
    else:
        work = partial(run_calls if program["calls"] else run_script, program)
        supervisor.watch(cells.start(work, (*streams, report.writing), limits), "program")
    for capture in (out, err, report):
        os.close(capture.writing)
    supervisor.run((out, err, report), report)
    answer = {"stopped": supervisor.stopped, "processes": supervisor.ended}
    for name, capture in (("report", report), ("stdout", out), ("stderr", err)):
        answer[name] = bytes(capture.kept).decode(errors="replace")
    wire.send(channel, answer)
