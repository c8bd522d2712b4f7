"""Attacks as data: programs that try to get out.

A script prints ESCAPED when it got what it wanted. `@NAME@` stands for what the test lays out as bait: the folder of a
secret file, ports and sockets of this machine, and a file that anyone may write.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """`status`: how the program may end. `says`: what it must have printed, to show that it got to its attempt."""

    name: str
    source: str
    status: frozenset[str] = frozenset({"ok"})
    says: str = "held"


# System calls by their numbers on x86_64; elsewhere there is nothing to try.
LIBC = """
import ctypes, os
if os.uname().machine != "x86_64":
    print("held", flush=True)
    os._exit(0)
libc = ctypes.CDLL(None, use_errno=True)
def system_call(*arguments):
    result = libc.syscall(*arguments)
    if result >= 0:
        print("ESCAPED", arguments)
    return os.strerror(ctypes.get_errno())
"""


def attempt(*statements: str) -> str:
    """Each statement is tried alone and must fail."""
    tries = "\n".join(
        f"try:\n    {statement}\n    print('ESCAPED', {statement!r})\nexcept OSError as error:\n    pass"
        for statement in statements
    )
    return f"import os, socket, signal, ctypes\n{tries}\nprint('held')"


READING = (
    Attack("secret file", attempt("open('@FOLDER@/secret').read()", "os.listdir('@FOLDER@')")),
    Attack("home folders", attempt("os.listdir('/root')", "os.listdir('/home')", "open('/root/.bashrc').read()")),
    Attack(
        "accounts", attempt("open('/etc/shadow').read()", "open('/etc/passwd').read()", "open('/etc/hosts').read()")
    ),
    Attack("checkout", attempt("os.listdir('@CHECKOUT@')", "open('@CHECKOUT@/pyproject.toml').read()")),
    Attack(
        "environment",
        """
import os
print(dict(os.environ), open('/proc/self/environ').read())
print('ESCAPED' if '@VARIABLE@' in os.environ else 'held')
""",
    ),
    Attack(
        "environment of others",
        """
import glob
for path in glob.glob('/proc/[0-9]*/environ'):
    print(open(path).read())
print('held')
""",
    ),
    Attack(
        "root of the first process",
        attempt(*(f"open('/proc/{process}/root@FOLDER@/secret').read()" for process in ("1", "self", "self/task/1"))),
    ),
    Attack("working folder of the first process", attempt("open('/proc/1/cwd/../../..@FOLDER@/secret').read()")),
    Attack(
        "dots", attempt("open('/proc/self/root/..@FOLDER@/secret').read()", "open('/../../..@FOLDER@/secret').read()")
    ),
    Attack(
        "symbolic link",
        """
import os
os.symlink('@FOLDER@/secret', '/tmp/link')
try:
    print('ESCAPED', open('/tmp/link').read())
except OSError:
    print('held')
""",
    ),
    Attack(
        "descriptors left open",
        """
import os
for number in range(3, 256):
    try:
        where = os.readlink(f'/proc/self/fd/{number}')
    except OSError:
        continue
    if not where.startswith(('pipe:', '/proc')):
        print('ESCAPED', where)
print('held')
""",
    ),
    Attack(
        "other processes",
        """
import os
others = [name for name in os.listdir('/proc') if name.isdigit() and int(name) != os.getpid()]
print('ESCAPED' if others else 'held', others)
""",
    ),
    Attack(
        "memory of other programs",
        """
import re
for line in open('/proc/self/maps'):
    addresses, rights = line.split()[:2]
    start, end = (int(part, 16) for part in addresses.split('-'))
    if rights.startswith('rw'):
        with open('/proc/self/mem', 'rb') as memory:
            memory.seek(start)
            found = re.search(rb'BAIT[0-9a-f]{32}', memory.read(end - start))
            if found: print('ESCAPED', found)
print('held')
""",
    ),
    Attack(
        "disks", attempt("open('/dev/vda', 'rb').read(1)", "open('/dev/sda', 'rb').read(1)", "open('/dev/mem', 'rb')")
    ),
    Attack(
        "devices", attempt("open('/dev/kmsg')", "open('/dev/fuse', 'rb')", "open('/dev/kvm', 'rb')", "open('/dev/tty')")
    ),
    Attack("making a device", attempt("os.mknod('/tmp/disk', 0o60666, os.makedev(254, 0))")),
    Attack(
        "kernel's log",
        LIBC
        + """
system_call(103, 3, ctypes.create_string_buffer(99), 99)
print('held')
""",
    ),
)

WRITING = (
    Attack("open file of this machine", attempt("open('@FOLDER@/open', 'w').write('mine')")),
    Attack(
        "outside /tmp",
        attempt(*(f"open('{path}/mine', 'w')" for path in ("", "/etc", "/usr/lib", "/python/lib", "/dev", "/athanor"))),
    ),
    Attack(
        "harness",
        attempt("open('/athanor/assets/core/sandbox/guest/guard.py', 'a')", "os.rename('/athanor', '/tmp/a')"),
    ),
    Attack(
        "standard library", attempt("open(os.__file__, 'a')", "os.remove(os.__file__)", "os.chmod(os.__file__, 0o777)")
    ),
    Attack(
        "settings of the kernel",
        attempt(
            "open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')",
            "open('/proc/sysrq-trigger', 'w').write('c')",
            "open('/proc/sys/kernel/hostname', 'w').write('mine')",
            "open('/proc/sys/user/max_user_namespaces', 'w').write('9')",
        ),
    ),
    Attack(
        "other user", attempt("open('/proc/self/uid_map', 'w').write('0 0 1')", "os.setuid(0)", "os.setgroups([0])")
    ),
    Attack("out-of-memory score", attempt("open('/proc/self/oom_score_adj', 'w').write('-1000')")),
    Attack(
        "own limits",
        """
import resource
try:
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    print('ESCAPED')
except (ValueError, OSError):
    print('held')
""",
    ),
)

NETWORK = (
    Attack(
        "tcp",
        attempt("socket.create_connection(('127.0.0.1', @TCP@), 1)", "socket.create_connection(('1.1.1.1', 80), 1)"),
    ),
    Attack("tcp6", attempt("socket.create_connection(('2606:4700:4700::1111', 80), 1)")),
    Attack(
        "udp",
        attempt("socket.socket(2, 2).sendto(b'x', ('1.1.1.1', 53))") + "\n"
        "socket.socket(2, 2).sendto(b'x', ('127.0.0.1', @UDP@))",
    ),
    Attack("names", attempt("socket.getaddrinfo('example.com', 80)")),
    Attack("abstract socket", attempt("socket.socket(socket.AF_UNIX).connect('\\0@ABSTRACT@')")),
    Attack("socket file", attempt("socket.socket(socket.AF_UNIX).connect('@FOLDER@/socket')")),
    Attack(
        "other families",
        attempt("socket.socket(40, 1)", "socket.socket(16, 3)", "socket.socket(17, 3)", "socket.socket(38, 5)"),
    ),
    Attack("raw packets", attempt("socket.socket(2, 3, 1)")),
)

KERNEL = (
    Attack(
        "new user namespace",
        LIBC
        + """
system_call(272, 0x10000000)
print('held')
""",
    ),
    Attack(
        "namespaces by clone",
        LIBC
        + """
for flag in (0x10000000, 0x20000000, 0x20000, 0x40000000, 0x10020000):
    process = libc.syscall(56, flag | 17, 0, 0, 0, 0)
    if process == 0: os._exit(0)
    if process > 0: print('ESCAPED', hex(flag))
print('held')
""",
    ),
    Attack(
        "namespaces by clone3",
        LIBC
        + """
system_call(435, ctypes.create_string_buffer(88), 88)
print('held')
""",
    ),
    Attack(
        "joining a namespace",
        LIBC
        + """
system_call(308, os.open('/proc/1/ns/mnt', 0), 0)
print('held')
""",
    ),
    Attack(
        "mounting",
        LIBC
        + """
for kind in (b'proc', b'tmpfs', b'sysfs', b'overlay'):
    if libc.mount(kind, b'/tmp', kind, 0, None) == 0: print('ESCAPED', kind)
if libc.mount(None, b'/', None, 32 | 4096, None) == 0: print('ESCAPED')
if libc.umount2(b'/proc', 2) == 0 or libc.umount2(b'/tmp', 2) == 0: print('ESCAPED')
print('held')
""",
    ),
    Attack(
        "pivoting",
        LIBC
        + """
system_call(155, b'/tmp', b'/tmp')
system_call(161, b'/tmp')
print('held')
""",
    ),
    Attack(
        "new mount interface",
        LIBC
        + """
system_call(428, -100, b'/', 1)
system_call(430, b'tmpfs', 0)
print('held')
""",
    ),
    Attack(
        "tracing",
        LIBC
        + """
system_call(101, 16, 1, 0, 0)
system_call(101, 0, 0, 0, 0)
print('held')
""",
    ),
    Attack(
        "memory of another process",
        LIBC
        + """
system_call(310, 1, 0, 0, 0, 0, 0)
print('held')
""",
    ),
    Attack(
        "keyring",
        LIBC
        + """
system_call(250, 0, -3, 1)
system_call(248, b'user', b'k', b'v', 1, -4)
print('held')
""",
    ),
    Attack(
        "bpf and perf",
        LIBC
        + """
system_call(321, 0, 0, 0)
system_call(298, 0, 0, -1, -1, 0)
print('held')
""",
    ),
    Attack(
        "userfaultfd",
        LIBC
        + """
system_call(323, 1)
print('held')
""",
    ),
    Attack(
        "io_uring",
        LIBC
        + """
system_call(425, 8, ctypes.create_string_buffer(120))
print('held')
""",
    ),
    Attack(
        "memory without a limit",
        LIBC
        + """
system_call(319, b'x', 0)
system_call(29, 0, 1 << 30, 0o1600)
print('held')
""",
    ),
    Attack(
        "modules and reboot",
        LIBC
        + """
system_call(175, 0, 0, b'')
system_call(169, 0xfee1dead, 672274793, 0x1234567)
print('held')
""",
    ),
    Attack(
        "capabilities",
        LIBC
        + """
libc.prctl(8, 1, 0, 0, 0)
lines = dict(line.split(':\\t') for line in open('/proc/self/status') if ':\\t' in line)
none = int(lines['CapEff'], 16) == int(lines['CapPrm'], 16) == 0
print('held' if none and int(lines['NoNewPrivs']) == 1 else 'ESCAPED')
if libc.prctl(47, 2, 21, 0, 0) == 0: print('ESCAPED')
""",
    ),
    Attack(
        "32-bit system calls",
        LIBC
        + """
import mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(b'\\xb8\\x0d\\x00\\x00\\x00\\x31\\xdb\\xcd\\x80\\xc3')
print('held', flush=True)
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print('ESCAPED')
""",
        frozenset({"exception", "ok"}),
    ),
)
