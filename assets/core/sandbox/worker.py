"""One worker: a bubblewrap that holds the process from which programs are forked."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assets.core.errors import AthanorError
from assets.core.sandbox.guest import wire, zygote
from assets.core.sandbox.program import MIB, Limits, Outcome, Program
from assets.core.sandbox.verdict import Unusable, judge

GUEST = Path(__file__).parent / "guest"
MOUNTED = "assets/core/sandbox/guest"
FOLDERS = ("/tmp", "/dev", "/usr", "/etc", "/python/bin", "/athanor/assets/core/sandbox")
PYTHON = "/python/bin/python3.11"
# Named by the module, not as text, so that what runs inside counts among the sources of whoever uses the sandbox.
START = f"import sys; sys.path.insert(0, '/athanor'); from {zygote.__name__} import main; main()"
# Stable order of sets, one clock and one language: the same program gives the same output anywhere.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "HOME": "/tmp",
    "LD_LIBRARY_PATH": "/python/lib",
}
DEVICES = ("null", "zero", "full", "random", "urandom")
LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/etc/ld.so.cache")
MAX_SOURCE = 4 * MIB
COMPLAINT_BYTES = 4096
START_SECONDS = 60
GRACE_SECONDS = 10
REMEDY = (
    "allow bubblewrap to make user namespaces, and these to make others (sysctl user.max_user_namespaces, "
    "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0); in a container, "
    "start it with that right"
)


def bubblewrap() -> str:
    """The path of bubblewrap; raises AthanorError where it is not installed."""
    found = shutil.which("bwrap")
    if found is None:
        raise AthanorError(
            "there is no sandbox: bubblewrap is not installed, and code that a model wrote never runs without it",
            "install bubblewrap: apt-get install bubblewrap (or dnf, pacman, apk)",
        )
    return found


def command() -> list[str]:
    """How a worker is started: what it sees of this machine is Python, shared libraries and five devices."""
    words = [bubblewrap(), "--die-with-parent", "--new-session"]
    words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        # Root needs no user namespace; it keeps what it takes to become nobody, the first thing it does inside.
        words += [word for name in ("SYS_ADMIN", "SETUID", "SETGID") for word in ("--cap-add", f"CAP_{name}")]
    else:
        words += ["--unshare-user"]
    # Folders that bubblewrap makes unasked are root's alone.
    words += [word for path in FOLDERS for word in ("--dir", path)]
    for path in LIBRARIES:
        words += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind-try", path, path]
    for name in {"lib", sys.platlibdir}:
        words += ["--ro-bind", os.path.join(sys.base_prefix, name), f"/python/{name}"]
    words += ["--ro-bind", os.path.realpath(sys.executable), PYTHON, "--ro-bind", str(GUEST), f"/athanor/{MOUNTED}"]
    words += [word for name in DEVICES for word in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")]
    words += ["--proc", "/proc", "--symlink", "/tmp", "/dev/shm", "--remount-ro", "/", "--chdir", "/"]
    return [*words, "--", PYTHON, "-s", "-S", "-P", "-B", "-c", START]


def too_large(program: Program, limits: Limits) -> str:
    """Why a program is not even sent; empty when it is."""
    if len(program.stdin.encode("utf-8", "surrogatepass")) > min(limits.file_bytes, limits.disk_bytes):
        return "stdin is larger than a file may be"
    calls = program.calls
    sources = (program.code, program.tests or "", *((calls.examples, *calls.inputs) if calls else ()))
    if sum(map(len, sources)) > MAX_SOURCE:
        return f"the source has more than {MAX_SOURCE} characters"
    return ""


class Worker:
    """A running bubblewrap. It dies with the thread that started it."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            self.process = subprocess.Popen(
                command(),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self.errors,
                env=ENVIRONMENT,
                cwd="/",
            )
        try:
            ready = self._receive(START_SECONDS)["ready"]
        except Unusable:
            ready = False
        if not ready:
            complaint = self._complaint()
            self.kill()
            raise AthanorError(f"no sandbox could be made: {complaint}", REMEDY)

    def run(self, program: Program, limits: Limits) -> Outcome:
        """Run one program to its outcome; raises Unusable when this worker must be replaced."""
        if excess := too_large(program, limits):
            return Outcome("refused", detail=excess)
        message = {**asdict(program), "tests": "", "tested": program.tests is not None, "limits": asdict(limits)}
        started = time.monotonic()
        self._send(message)
        if program.tests is not None:
            self._send(program.tests)
        facts = self._receive(limits.seconds + GRACE_SECONDS)
        return judge(program, limits, facts, time.monotonic() - started)

    def _send(self, message: object) -> None:
        self.channel.settimeout(GRACE_SECONDS)
        try:
            wire.send(self.channel, message)
        except OSError as error:
            raise self._gone(error) from error

    def _receive(self, seconds: float) -> dict[str, Any]:
        self.channel.settimeout(seconds)
        try:
            return wire.receive(self.channel)  # type: ignore[return-value]
        except (OSError, EOFError, wire.ProtocolError) as error:
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> Unusable:
        return Unusable(f"the worker is gone ({error or type(error).__name__}): {self._complaint()}")

    def _complaint(self) -> str:
        if self.errors.closed:
            return "it was closed"
        return os.pread(self.errors.fileno(), COMPLAINT_BYTES, 0).decode(errors="replace").strip() or "it said nothing"

    def kill(self) -> None:
        """End it and all it runs; a thread that waits for its answer gets none."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        self.process.kill()
        self.process.wait()
        self.errors.close()
