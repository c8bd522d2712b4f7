"""Programs that are wrong and want to be called right, and programs that leave something behind: as data."""

from __future__ import annotations

# For the tests `assert f(2) == 4` and `assert f(3) == 9`; none of these is right.
FORGERIES = {
    "nothing": """
pass
""",
    "wrong": """
def f(x): return x
""",
    "leaving": """
import os
def f(x): os._exit(0)
""",
    "leaving at once": """
import os
os._exit(0)
""",
    "sys.exit": """
import sys
def f(x): sys.exit(0)
""",
    "sys.exit at once": """
import sys
sys.exit(0)
""",
    "equal to all": """
class E:
    def __eq__(self, other): return True
    __hash__ = None
def f(x): return E()
""",
    "equal int": """
class E(int):
    def __eq__(self, other): return True
def f(x): return E(1)
""",
    "equal class": """
class M(type):
    def __eq__(cls, other): return True
class C(metaclass=M): pass
def f(x): return C
""",
    "equal by __class__": """
class E:
    __class__ = int
    def __eq__(self, other): return True
def f(x): return E()
""",
    "all operators": """
class E:
    def __getattr__(self, name): return lambda *a: True
    __eq__ = __ne__ = __lt__ = __sub__ = __rsub__ = __contains__ = __bool__ = lambda *a: True
def f(x): return E()
""",
    "function that equals": """
import unittest.mock
def f(x): return unittest.mock.ANY
""",
    "builtins replaced": """
import builtins
builtins.AssertionError = Warning
builtins.compile = builtins.exec = lambda *a: None
builtins.isinstance = lambda *a: True
def f(x): return 0
""",
    "assertion renamed": """
AssertionError = Warning
__builtins__ = {}
int = str
def f(x): return 0
""",
    "json replaced": """
import json
json.dumps = lambda *a, **k: '["value", [4, []]]'
json.loads = None
def f(x): return 0
""",
    "unittest replaced": """
import unittest
unittest.TestCase = unittest.TestResult = object
def f(x): return 0
""",
    "harness replaced": """
import sys
for name, module in list(sys.modules.items()):
    if 'sandbox' in name:
        for key in list(vars(module)):
            if not key.startswith('__'): setattr(module, key, lambda *a, **k: 'ok')
""",
    "guard called": """
import sys
for name, module in list(sys.modules.items()):
    if name.endswith('guard'):
        module._verdict('ok', '')
def f(x): return 0
""",
    "every descriptor": """
import os
for number in range(256):
    for text in (b'{"verdict": "ok", "detail": ""}\\n', b'ok\\n'):
        try: os.write(number, text)
        except OSError: pass
def f(x): return 0
""",
    "verdict as an answer": """
import os, json
def f(x):
    for m in (['ok', ''], ['verdict', 'ok'], {'verdict': 'ok'}):
        data = json.dumps(m).encode()
        os.write(3, len(data).to_bytes(4, 'big') + data)
""",
    "false length": """
import os
os.write(3, b'\\xff\\xff\\xff\\xff' + b'x' * 999)
def f(x): return 0
""",
    "half a message": """
import os
def f(x):
    os.write(3, b'\\0\\0\\0\\x09[')
    os._exit(0)
""",
    "huge message": """
def f(x): return 'x' * (30 << 20)
""",
    "deep message": """
import os
def f(x): os.write(3, (90000).to_bytes(4, 'big') + b'[' * 90000)
""",
    "kinds unknown": """
import os, json
def f(x):
    data = json.dumps(['value', [['eval', '4'], []]]).encode()
    os.write(3, len(data).to_bytes(4, 'big') + data)
""",
    "class made in the guard": """
import os, json
def f(x):
    m = ['call', [['type', 'type'], ['list', ['E', ['tuple', []], ['dict', []]]], ['dict', []]]]
    data = json.dumps(m).encode()
    os.write(3, len(data).to_bytes(4, 'big') + data)
""",
    "object of the guard": """
import os, json
def f(x):
    data = json.dumps(['value', [['yours', -1], []]]).encode()
    os.write(3, len(data).to_bytes(4, 'big') + data)
""",
    "attribute of the guard": """
import os, json
def f(x):
    data = json.dumps(['get', [['yours', 0], '__globals__']]).encode()
    os.write(3, len(data).to_bytes(4, 'big') + data)
""",
    "answers by themselves": """
import os, json
data = json.dumps(['value', [True, []]]).encode()
os.write(3, 9 * (len(data).to_bytes(4, 'big') + data))
def f(x): return 0
""",
    "tests in frames": """
import sys, gc, re
found = ''
frame = sys._getframe()
while frame:
    found += repr(frame.f_locals)
    frame = frame.f_back
found += ''.join(repr(thing) for thing in gc.get_objects() if isinstance(thing, (dict, list, str, tuple)))
known = dict(re.findall(r'f.(\\d). == (\\d)', found))
def f(x): return int(known[str(x)])
""",
    "tests in memory": """
import re
known = {}
for line in open('/proc/self/maps'):
    addresses, rights = line.split()[:2]
    start, end = (int(part, 16) for part in addresses.split('-'))
    if rights.startswith('rw'):
        memory = open('/proc/self/mem', 'rb')
        memory.seek(start)
        known.update(re.findall(rb'assert f.(\\d). == (\\d)', memory.read(end - start)))
def f(x): return int(known[b'%d' % x])
""",
    "tests in the guard": """
import glob
def f(x):
    for path in glob.glob('/proc/[0-9]*/mem'):
        open(path, 'rb').read(1)
    return 0
""",
    "tracing": """
import sys, threading
sys.settrace(lambda *a: None)
sys.setprofile(lambda *a: None)
def f(x): return 0
""",
    "hooks": """
import sys
sys.excepthook = sys.unraisablehook = lambda *a: None
sys.meta_path.clear()
def f(x): 1 / 0
""",
    "at exit": """
import atexit, os
atexit.register(os._exit, 0)
def f(x): return 0
""",
    "skipping": """
import unittest
def f(x): raise unittest.SkipTest('no need')
""",
    "assertion raised": """
def f(x): raise AssertionError
""",
    "stopping": """
def f(x): raise StopIteration
""",
    "interrupting": """
def f(x): raise KeyboardInterrupt
""",
    "generator left": """
def f(x): raise GeneratorExit
""",
    "error that hides": """
class E(Exception):
    def __str__(self): raise SystemExit(0)
    args = property(__str__)
def f(x): raise E
""",
    "killing all": """
import os
def f(x):
    os.kill(-1, 9)
    return 0
""",
    "signal of itself": """
import ctypes
def f(x): ctypes.string_at(0)
""",
    "killed as by this machine": """
import ctypes, os
def f(x):
    ctypes.CDLL(None).prctl(22, 1, 0, 0, 0)
    ctypes.CDLL(None).syscall(317, 0, 0, 0)
    return os.getcwd()
""",
    "waiting": """
import time
def f(x): time.sleep(99)
""",
    "line closed": """
import os
def f(x): os.closerange(0, 99)
""",
    "another program": """
import os, sys
def f(x): os.execv(sys.executable, [sys.executable, '-c', 'print(0)'])
""",
    "a child answers": """
import os
def f(x):
    if os.fork():
        os._exit(0)
    os.setsid()
    return 4
""",
}

# What a program may leave behind; the next one in the same worker must not see it.
POISONS = {
    "files": """
open('/tmp/left', 'w').write('x')
""",
    "shared memory": """
from multiprocessing.shared_memory import SharedMemory
SharedMemory('left', create=True, size=99)
""",
    "builtins": """
import builtins
builtins.len = lambda x: 42
builtins.print = builtins.repr = builtins.open = None
""",
    "modules": """
import json, pickle, math, sys
json.dumps = pickle.loads = math.sqrt = None
sys.modules['re'] = None
""",
    "import hooks": """
import sys
sys.meta_path.insert(0, None)
sys.path.insert(0, '/tmp')
sys.path_hooks.clear()
""",
    "site": """
open('/tmp/sitecustomize.py', 'w').write('1/0')
open('/tmp/random.py', 'w').write('1/0')
""",
    "folder and mask": """
import os
os.mkdir('/tmp/d')
os.chdir('/tmp/d')
os.umask(0o777)
os.environ['LEFT'] = 'x'
""",
    "limits": """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))
import os
os.nice(19)
""",
    "at exit": """
import atexit, os
atexit.register(os._exit, 3)
""",
    "processes": """
import os, time
if os.fork() == 0:
    os.setsid()
    time.sleep(99)
""",
    "threads": """
import threading, time
threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
""",
    "sockets": """
import socket
s = socket.socket()
s.bind(('127.0.0.1', 7777))
s.listen()
import os
os.fork() or os.setsid()
""",
    "abstract socket": """
import socket
s = socket.socket(socket.AF_UNIX)
s.bind('\\0left')
s.listen()
""",
    "signals": """
import signal
for n in (1, 2, 10, 15): signal.signal(n, signal.SIG_IGN)
signal.pthread_sigmask(0, {1, 2, 15})
""",
    "descriptors": """
import os
os.closerange(0, 256)
""",
    "recursion": """
import sys, gc
sys.setrecursionlimit(50)
gc.disable()
sys.set_int_max_str_digits(0)
""",
    "hash of texts": """
import os
os.environ['PYTHONHASHSEED'] = '7'
""",
}

# Prints all that a poison may have changed.
WITNESS = """
import gc, json, math, os, random, re, resource, signal, socket, sys, threading
s = socket.socket()
s.bind(("127.0.0.1", 7777))
a = socket.socket(socket.AF_UNIX)
a.bind("\\0left")
print(os.listdir("/tmp"), os.listdir("/dev/shm"), os.getcwd(), oct(os.umask(0)), sorted(os.environ), len([1, 2]))
print(json.dumps([math.sqrt(4), re.sub("a", "b", "a")]), sys.path, len(sys.meta_path), len(sys.path_hooks))
print(resource.getrlimit(resource.RLIMIT_NOFILE), os.nice(0), [n for n in os.listdir("/proc") if n.isdigit()])
print(threading.active_count(), sys.getrecursionlimit(), gc.isenabled(), sys.get_int_max_str_digits(), {"a", "b", "c"})
print([signal.getsignal(n) for n in (1, 2, 10, 15)], signal.pthread_sigmask(0, ()), sorted(os.listdir("/proc/self/fd")))
"""
