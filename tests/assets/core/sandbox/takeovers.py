"""More attacks as data: programs that try to stay, to stop what stops them, or to take everything."""

from __future__ import annotations

from tests.assets.core.sandbox.attacks import Attack, attempt

EXCEPTION = frozenset({"exception"})
ANY_END = frozenset({"exception", "memory", "timeout"})
ERROR_OR_TIMEOUT = frozenset({"exception", "timeout"})
MEMORY = frozenset({"memory"})
MEMORY_OR_TIMEOUT = frozenset({"memory", "timeout"})
REFUSED = frozenset({"refused"})
TIMEOUT = frozenset({"timeout"})

KILLING = (
    Attack("kill the parent", attempt("os.kill(os.getppid() or 999999, 9)", "os.kill(2, 9)")),
    Attack(
        "kill all",
        """
import os
try:
    os.kill(-1, 9)
except ProcessLookupError:
    pass
print('held')
""",
    ),
    Attack(
        "kill itself",
        """
import os
print('held', flush=True)
os.kill(os.getpid(), 9)
os.abort()
""",
        EXCEPTION,
    ),
    Attack(
        "staying after the end",
        """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            try: open('/tmp/alive', 'w').write('x')
            except OSError: pass
    os._exit(0)
print('held')
""",
    ),
    Attack(
        "signals ignored",
        """
import signal
for number in set(signal.Signals) - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
print('held', flush=True)
while True: pass
""",
        TIMEOUT,
    ),
    Attack(
        "processes that ignore signals",
        """
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
print('held', flush=True)
for _ in range(9):
    if os.fork() == 0: break
while True: time.sleep(9)
""",
        TIMEOUT,
    ),
    Attack(
        "descriptors closed",
        """
import os
os.write(1, b'held')
os.closerange(0, 256)
while True: pass
""",
        TIMEOUT,
    ),
    Attack(
        "processor time of its own choice",
        """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
print('held', flush=True)
while True: pass
""",
        ERROR_OR_TIMEOUT,
    ),
    Attack(
        "segmentation fault",
        """
import ctypes
print('held', flush=True)
ctypes.string_at(0)
""",
        EXCEPTION,
    ),
    Attack(
        "stack overflow",
        """
import sys
sys.setrecursionlimit(10**9)
print('held', flush=True)
f = lambda n: f(n + 1) + 1
f(0)
""",
        ANY_END,
    ),
    Attack(
        "another program",
        """
import os, sys
print('held', flush=True)
os.execv(sys.executable, [sys.executable, '-c', '1'])
""",
        frozenset({"ok", "timeout"}),
    ),
    Attack(
        "a shell",
        attempt("os.execv('/bin/sh', ['sh'])", "os.execvp('curl', ['curl'])", "os.execv('/usr/bin/env', ['env'])"),
    ),
)

TAKING = (
    Attack(
        "fork bomb",
        """
import os
print('held', flush=True)
while True:
    try: os.fork()
    except OSError: pass
""",
        MEMORY_OR_TIMEOUT,
    ),
    Attack(
        "thread bomb",
        """
import threading, time
print('held', flush=True)
while True:
    threading.Thread(target=time.sleep, args=(99,)).start()
""",
        ERROR_OR_TIMEOUT,
    ),
    Attack(
        "memory at once",
        """
print('held', flush=True)
bytearray(1 << 40)
""",
        MEMORY,
    ),
    Attack(
        "memory by and by",
        """
print('held', flush=True)
x = []
while True: x.append([0] * 10**6)
""",
        MEMORY_OR_TIMEOUT,
    ),
    Attack(
        "memory of many",
        """
import os, time
print('held', flush=True)
for _ in range(20):
    if os.fork() == 0:
        x = bytearray(b'x') * (20 << 20)
        time.sleep(9)
time.sleep(9)
""",
        MEMORY,
    ),
    Attack(
        "shared memory",
        """
import os, mmap, time
print('held', flush=True)
for _ in range(20):
    if os.fork() == 0:
        m = mmap.mmap(-1, 20 << 20)
        m.write(b'x' * (20 << 20))
        time.sleep(9)
time.sleep(9)
""",
        MEMORY,
    ),
    Attack(
        "one large file",
        """
f = open('/tmp/f', 'wb')
print('held', flush=True)
while True: f.write(b'x' * 10**6)
""",
        EXCEPTION,
    ),
    Attack(
        "many files",
        """
n = 0
print('held', flush=True)
while True:
    n += 1
    open(f'/tmp/{n}', 'wb').write(b'x' * 10**5)
""",
        EXCEPTION,
    ),
    Attack(
        "empty files",
        """
n = 0
print('held', flush=True)
while True:
    n += 1
    open(f'/tmp/{n}', 'wb').close()
""",
        EXCEPTION,
    ),
    Attack(
        "sparse file",
        """
f = open('/tmp/f', 'wb')
print('held', flush=True)
f.truncate(1 << 40)
""",
        EXCEPTION,
    ),
    Attack(
        "/dev/shm",
        """
f = open('/dev/shm/f', 'wb')
print('held', flush=True)
while True: f.write(b'x' * 10**6)
""",
        EXCEPTION,
    ),
    Attack(
        "endless output",
        """
while True: print('held' * 1000)
""",
        TIMEOUT,
    ),
    Attack(
        "endless errors",
        """
import sys
print('held', flush=True)
while True: sys.stderr.write('x' * 1000)
""",
        TIMEOUT,
    ),
    Attack(
        "endless report",
        """
import os
print('held', flush=True)
while True: os.write(3, b'x' * 10000)
""",
        REFUSED,
    ),
    Attack(
        "descriptors",
        """
import os
print('held', flush=True)
while True: os.dup(1)
""",
        EXCEPTION,
    ),
    Attack(
        "pipes filled",
        """
import os
print('held', flush=True)
while True:
    r, w = os.pipe()
    os.write(w, b'x' * 65536)
""",
        ERROR_OR_TIMEOUT,
    ),
    Attack(
        "huge power",
        """
print('held', flush=True)
x = 10 ** 10 ** 9
""",
        MEMORY_OR_TIMEOUT,
    ),
    Attack(
        "digits of a huge number",
        """
print('held', flush=True)
import sys
sys.set_int_max_str_digits(0)
str(1 << 10**8)
""",
        MEMORY_OR_TIMEOUT,
    ),
    Attack(
        "backtracking",
        """
import re
print('held', flush=True)
re.match('(a+)+$', 'a' * 99 + 'b')
""",
        TIMEOUT,
    ),
    Attack(
        "sleeping",
        """
import time
print('held', flush=True)
time.sleep(99)
""",
        TIMEOUT,
    ),
    Attack(
        "sort without end",
        """
print('held', flush=True)
sum(range(10**18))
""",
        TIMEOUT,
    ),
)
