"""A cell: a process that is alone in namespaces of its own, without capabilities, under limits, with a private /tmp.

One clone makes it, so a program costs little more than a fork. The process is the first of its process namespace: when
it ends, by itself or killed, the kernel kills whatever it started.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Callable, Mapping

# PyDLL keeps Python's lock through the call: the child comes out of the clone still holding it.
LIBC = ctypes.PyDLL(None, use_errno=True)
CLONE = {"x86_64": 56, "aarch64": 220}
NEW_MOUNT, NEW_IPC, NEW_USER, NEW_PID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
READ_ONLY, NO_SETUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8
PR_SET_DUMPABLE = 4
CAPABILITY_VERSION = 0x20080522
USER = 1000
NOBODY = 65534
OPEN_FILES = 256


def check(result: int, what: str) -> int:
    """Raise OSError for a failed call of the C library."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(kind: bytes, target: bytes, flags: int, options: bytes | None = None) -> None:
    check(LIBC.mount(kind, target, kind, flags, options), f"mount {target.decode()}")


def become_nobody() -> None:
    """Give up root for good. The kernel does not hold root to a limit of processes, nor to a file's mode.

    /proc is mounted anew first: bubblewrap covers parts of root's, and then no cell could have its own.
    """
    mount(b"proc", b"/proc", NO_SETUID | NO_DEVICES | NO_EXEC)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # A process that has changed its user no longer owns its own files in /proc, the map of users among them.
    check(LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


class Cells:
    """Makes cells."""

    def __init__(self) -> None:
        self.clone = CLONE[os.uname().machine]
        self.user, self.group = os.getuid(), os.getgid()

    def start(self, work: Callable[[], None], files: tuple[int, ...], limits: Mapping[str, float]) -> int:
        """Run `work` in a new cell, with `files` as its descriptors 0, 1, 2, …; its process id.

        Descriptors must not themselves be below `len(files)`. Raises OSError when there is no process to be had.
        """
        ctypes.pythonapi.PyOS_BeforeFork()
        child = LIBC.syscall(self.clone, NEW_USER | NEW_PID | NEW_MOUNT | NEW_IPC | signal.SIGCHLD, 0, 0, 0, 0)
        if child == 0:
            self._become(work, files, limits)
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        return check(child, "clone")

    def _become(self, work: Callable[[], None], files: tuple[int, ...], limits: Mapping[str, float]) -> None:
        """The other branch of the clone. It never returns."""
        try:
            ctypes.pythonapi.PyOS_AfterFork_Child()
            for number, file in enumerate(files):
                os.dup2(file, number)
            os.closerange(len(files), OPEN_FILES)
            self._enter(limits)
            work()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
        finally:
            os._exit(1)

    def _enter(self, limits: Mapping[str, float]) -> None:
        _write("/proc/self/setgroups", b"deny")
        _write("/proc/self/uid_map", b"%d %d 1" % (USER, self.user))
        _write("/proc/self/gid_map", b"%d %d 1" % (USER, self.group))
        _write("/proc/sys/user/max_user_namespaces", b"0")
        # Sixteen inodes for every MiB bound what many empty files take of the kernel's memory.
        size = int(limits["disk_bytes"])
        mount(b"tmpfs", b"/tmp", NO_SETUID | NO_DEVICES, b"size=%d,nr_inodes=%d,mode=700" % (size, max(64, size >> 16)))
        mount(b"proc", b"/proc", READ_ONLY | NO_SETUID | NO_DEVICES | NO_EXEC)
        os.chdir("/tmp")
        os.umask(0o022)
        os.setsid()
        for limit, value in (
            (resource.RLIMIT_AS, limits["memory_bytes"]),
            (resource.RLIMIT_FSIZE, limits["file_bytes"]),
            (resource.RLIMIT_NPROC, limits["processes"]),
            (resource.RLIMIT_NOFILE, OPEN_FILES),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
        ):
            resource.setrlimit(limit, (int(value), int(value)))
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        check(LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def _write(path: str, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, content)
    finally:
        os.close(file)
