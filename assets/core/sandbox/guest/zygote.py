"""The one long-lived process of a worker: it has imported what programs commonly import, and forks for each program."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import socket
import sys

from assets.core.sandbox.guest import seccomp, wire
from assets.core.sandbox.guest.cell import OPEN_FILES, Cells, become_nobody
from assets.core.sandbox.guest.supervise import supervise

COMMON = (
    "bisect", "collections", "copy", "dataclasses", "functools", "heapq", "itertools", "math", "operator", "random",
    "re", "string", "typing", "unittest",
)  # fmt: skip
CELL_DESCRIPTORS = 10
TRIAL = {"memory_bytes": 1 << 30, "file_bytes": 1, "disk_bytes": 1 << 20, "processes": 1}


def main() -> None:
    """Answer one program after the other on descriptor 0, until the host closes it."""
    channel = claim_channel()
    if os.getuid() == 0:
        become_nobody()
    seccomp.install()
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    for name in COMMON:
        __import__(name)
    sys.path[:] = ["/tmp", *(path for path in sys.path if path.startswith(sys.base_prefix))]
    sys.argv = ["program.py"]
    gc.collect()
    gc.freeze()
    wire.send(channel, {"ready": trial(Cells())})
    while channel.recv(1, socket.MSG_PEEK):
        # The supervisor, not this process, reads the program: nothing of one may be in memory when the next is forked.
        supervisor = os.fork()
        if supervisor == 0:
            supervise(Cells(), channel)
            os._exit(0)
        _, status = os.waitpid(supervisor, 0)
        if status != 0:
            return


def claim_channel() -> socket.socket:
    """The connection with the host, moved above the descriptors of cells; those below are taken, so that all are."""
    moved = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, CELL_DESCRIPTORS)
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, *range(3, CELL_DESCRIPTORS)):
        if number != null:
            os.dup2(null, number)
    return socket.socket(fileno=moved)


def trial(cells: Cells) -> bool:
    """Whether a cell can be made here; its complaint goes to stderr."""
    null = os.open("/dev/null", os.O_RDWR)
    try:
        _, status = os.waitpid(cells.start(lambda: os._exit(0), (null, null), TRIAL), 0)
    except OSError as error:
        print(error, file=sys.stderr)
        return False
    finally:
        os.close(null)
    return status == 0
