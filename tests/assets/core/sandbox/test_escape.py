"""Nothing gets out of the sandbox, stays in it, or is called right when it is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.core.sandbox import Calls, Limits, Outcome, Program, Sandbox
from tests.assets.core.sandbox.attacks import KERNEL, NETWORK, READING, WRITING, Attack
from tests.assets.core.sandbox.forgeries import FORGERIES, POISONS, WITNESS
from tests.assets.core.sandbox.takeovers import KILLING, TAKING

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is made of what Linux has")

SECRET = "the-secret-of-this-machine"
VARIABLE = "ATHANOR_TEST_SECRET"
BAIT = "BAIT" + 4 * "0123abcd"
LIMITS = Limits(
    seconds=0.8, cpu_seconds=5, memory_bytes=160 << 20, file_bytes=4 << 20, disk_bytes=8 << 20, processes=24
)
SCRIPTS = (*READING, *WRITING, *NETWORK, *KERNEL, *KILLING, *TAKING)
NOT_RIGHT = {"wrong", "exception", "timeout", "memory", "refused"}
TESTS = "assert f(2) == 4\nassert f(3) == 9\n"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    os.environ[VARIABLE] = SECRET
    with Sandbox(workers=1, limits=LIMITS) as sandbox:
        yield sandbox
    del os.environ[VARIABLE]


def run(sandbox: Sandbox, program: Program) -> Outcome:
    [(_, outcome)] = sandbox.run([program])
    return outcome


@pytest.fixture(scope="module")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What an attack would find, were it not isolated; nothing of it may have been touched afterwards."""
    folder = tmp_path_factory.mktemp("bait")
    for above in (folder, *list(folder.parents)[:2]):
        above.chmod(0o755)
    (folder / "secret").write_text(SECRET)
    (folder / "open").write_text("untouched")
    (folder / "open").chmod(0o666)
    tcp, udp, local, abstract = (
        socket.socket(family, kind)
        for family, kind in ((2, socket.SOCK_STREAM), (2, socket.SOCK_DGRAM), (1, 1), (1, 1))
    )
    name = f"athanor-{os.getpid()}"
    for listener, address in (
        (tcp, ("127.0.0.1", 0)), (udp, ("127.0.0.1", 0)), (local, str(folder / "socket")), (abstract, f"\0{name}"),
    ):  # fmt: skip
        listener.bind(address)
        listener.setblocking(False)
        if listener is not udp:
            listener.listen()
    (folder / "socket").chmod(0o666)
    yield {
        "@FOLDER@": str(folder), "@CHECKOUT@": str(Path(__file__).parents[4]), "@VARIABLE@": VARIABLE,
        "@TCP@": str(tcp.getsockname()[1]), "@UDP@": str(udp.getsockname()[1]), "@ABSTRACT@": name,
    }  # fmt: skip
    for listener in (tcp, local, abstract):
        with pytest.raises(BlockingIOError):
            listener.accept()
    with pytest.raises(BlockingIOError):
        udp.recv(1)
    assert (folder / "open").read_text() == "untouched"


def test_the_bait_can_be_taken_outside(bait: dict[str, str]) -> None:
    """Protects the attacks from being vacuous: what they try succeeds in a process that is not isolated."""
    for name in ("secret file", "checkout", "environment"):
        attack = next(attack for attack in SCRIPTS if attack.name == name)
        command = [sys.executable, "-c", filled(attack.source, bait)]
        assert "ESCAPED" in subprocess.run(command, capture_output=True, text=True, env={VARIABLE: SECRET}).stdout


def filled(source: str, bait: dict[str, str]) -> str:
    for name, value in bait.items():
        source = source.replace(name, value)
    return source


@pytest.mark.parametrize("attack", SCRIPTS, ids=lambda attack: attack.name)
def test_script_does_not_escape(sandbox: Sandbox, bait: dict[str, str], attack: Attack) -> None:
    """Protects this machine: the attack got to its attempt, did not succeed, and ended in time."""
    run(sandbox, Program(f"def f(x): return 0\nx = '{BAIT}'", tests=f"'{BAIT}'\nassert f(2)"))
    outcome = run(sandbox, Program(filled(attack.source, bait)))
    shown = outcome.stdout + outcome.stderr
    assert "ESCAPED" not in shown, outcome
    assert SECRET not in shown
    assert outcome.status in attack.status, outcome
    assert attack.says in outcome.stdout, outcome
    assert outcome.seconds < LIMITS.seconds + 1
    assert outcome.attempts == 1
    assert len(outcome.stdout) <= LIMITS.output_bytes
    assert len(outcome.stderr) <= LIMITS.output_bytes


@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES)
def test_verdict_is_not_forged(sandbox: Sandbox, code: str) -> None:
    """Protects scores: no program that is wrong is called right, and none is taken for a failure of the sandbox."""
    outcome = run(sandbox, Program(code, tests=TESTS))
    assert outcome.status in NOT_RIGHT, outcome
    assert outcome.seconds < LIMITS.seconds + 1
    assert outcome.attempts == 1


def test_tests_that_catch_everything_are_not_fooled(sandbox: Sandbox) -> None:
    """Protects the verdict where tests catch what tells that the program is gone."""
    tests = "try:\n    f(1)\nexcept BaseException:\n    pass\n"
    assert run(sandbox, Program("import os\ndef f(x): os._exit(0)", tests=tests)).status == "exception"
    assert run(sandbox, Program("import os\ndef f(x): os.write(3, b'\\xff' * 99)", tests=tests)).status == "refused"


def test_helpers_of_the_tests_are_not_replaced(sandbox: Sandbox) -> None:
    """Protects the tests' own means: builtins and standard modules, and, with `names`, everything not named."""
    replaced = "class math:\n    isclose = lambda *a: True\nabs = any = lambda *a: True\ndef near(a, b): return True\n"
    code = f"{replaced}def f(x): return 0"
    assert run(sandbox, Program(code, tests="assert abs(f(2) - 4) < 1")).status == "wrong"
    assert run(sandbox, Program(code, tests="assert math.isclose(f(2), 4)")).status == "wrong"
    assert run(sandbox, Program(code, tests="assert near(f(2), 4)", names=("f",))).status == "exception"


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_nothing_is_left_for_the_next_program(sandbox: Sandbox, poison: str) -> None:
    """Protects programs from each other: the next one in the same worker finds all as the first one did."""
    clean = run(sandbox, Program(WITNESS))
    assert clean.status == "ok", clean
    run(sandbox, Program(poison))
    run(sandbox, Program(f"{poison}\ndef f(x): return x * x", tests=TESTS))
    run(sandbox, Program(f"{poison}\ndef f(x): return x", calls=Calls("f", ("dict(x=1)",))))
    after = run(sandbox, Program(WITNESS))
    assert (after.status, after.stdout, after.stderr) == (clean.status, clean.stdout, clean.stderr)
    assert after.attempts == 1
