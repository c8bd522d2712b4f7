"""System calls that no program needs and that widen the way out: a filter, set once per worker and inherited by all.

`mount` and `clone` stay open, because cells are made with them: in a cell they meet a process without capabilities that
may make no user namespace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

# A name with its numbers on x86_64 and aarch64. Beside the ways to new namespaces and mounts: reading other processes,
# parts of the kernel with a long record of faults, and memory that no resource limit counts.
DENIED = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "chroot": (161, 51), "delete_module": (176, 106),
    "fanotify_init": (300, 262), "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "init_module": (175, 105), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "kcmp": (312, 272), "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "keyctl": (250, 219), "mbind": (237, 235), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "migrate_pages": (256, 238), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "move_pages": (279, 239), "mq_open": (240, 180), "msgget": (68, 186),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "open_tree": (428, 428),
    "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438), "pivot_root": (155, 41),
    "process_madvise": (440, 440), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "quotactl": (179, 60), "reboot": (169, 142), "request_key": (249, 218), "seccomp": (317, 277),
    "semget": (64, 190), "setns": (308, 268), "shmget": (29, 194), "swapon": (167, 224), "syslog": (103, 116),
    "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
}  # fmt: skip
# Name of the machine: its number, its column above, and its numbers of clone3, prctl, socket and socketpair.
MACHINES = {"x86_64": (0xC000003E, 0, 435, 157, 41, 53), "aarch64": (0xC00000B7, 1, 435, 167, 198, 199)}
SOCKET_FAMILIES = (1, 2, 10)  # unix, inet, inet6: others, vsock above all, know nothing of network namespaces
X32 = 0x40000000

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
PR_SET_SECCOMP, MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def instructions(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter for a machine; raises OSError where its system calls are not known."""
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}, only for {', '.join(MACHINES)}")
    architecture, column, clone3, prctl, *sockets = MACHINES[machine]
    code = [(LOAD, 0, 0, ARCHITECTURE), (JUMP_EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    if machine == "x86_64":
        code += [(JUMP_AT_LEAST, 0, 1, X32), (RETURN, 0, 0, KILL)]
    for numbers in DENIED.values():
        code += [(JUMP_EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, ERROR | errno.EPERM)]
    code += [(JUMP_EQUAL, 0, 1, clone3), (RETURN, 0, 0, ERROR | errno.ENOSYS)]
    # A filter of its own would let a program end as if this machine had killed it.
    code += [(JUMP_EQUAL, 0, 4, prctl), (LOAD, 0, 0, FIRST_ARGUMENT), (JUMP_EQUAL, 0, 1, PR_SET_SECCOMP)]
    code += [(RETURN, 0, 0, ERROR | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    for number in sockets:
        code += [(JUMP_EQUAL, 0, 3 + len(SOCKET_FAMILIES), number), (LOAD, 0, 0, FIRST_ARGUMENT)]
        for index, family in enumerate(SOCKET_FAMILIES):
            code += [(JUMP_EQUAL, len(SOCKET_FAMILIES) - index, 0, family)]
        code += [(RETURN, 0, 0, ERROR | errno.EAFNOSUPPORT), (RETURN, 0, 0, ALLOW)]
    return [*code, (RETURN, 0, 0, ALLOW)]


def install() -> None:
    """Hold this process and all its descendants to the filter, for good."""
    code = instructions(os.uname().machine)
    program = _Program(len(code), b"".join(struct.pack("=HBBI", *instruction) for instruction in code))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no system call filter")
