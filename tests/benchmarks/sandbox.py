"""Programs per second: `python -m tests.benchmarks.sandbox`, on HumanEval's solutions with their tests.

Three ways in turns, with two workers each: this sandbox, one unisolated Python per program, one bubblewrap per program.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from assets.core.sandbox import Program, Sandbox
from assets.core.sandbox.worker import bubblewrap
from tests.benchmarks.report import closing_line, conditions

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "code" / "HumanEval.jsonl.gz"
WORKERS = 2
ROUNDS = 7
# Not that of the virtual environment, which takes longer to start.
PYTHON = os.path.realpath(sys.executable)
SECONDS = 30


def programs() -> list[Program]:
    """Every solution with its tests."""
    with gzip.open(DATA, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [
        Program(row["prompt"] + row["canonical_solution"], tests=f"{row['test']}\ncheck({row['entry_point']})\n")
        for row in rows
    ]


def ours(sandbox: Sandbox, chosen: list[Program]) -> int:
    return sum(outcome.status == "ok" for _, outcome in sandbox.run(chosen))


def processes(command: Callable[[Path], list[str]], folder: Path, chosen: list[Program]) -> int:
    """The same programs, each with its tests in one file and one process."""

    def run(numbered: tuple[int, Program]) -> bool:
        file = folder / f"{numbered[0]}.py"
        file.write_text(f"{numbered[1].code}\n{numbered[1].tests}")
        return subprocess.run(command(file), capture_output=True, timeout=SECONDS).returncode == 0

    with ThreadPoolExecutor(WORKERS) as threads:
        return sum(threads.map(run, enumerate(chosen)))


def plain(file: Path) -> list[str]:
    return [PYTHON, str(file)]


def isolated(file: Path) -> list[str]:
    shown = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    program = ["--ro-bind", str(file), "/tmp/program.py", PYTHON, "/tmp/program.py"]
    return [bubblewrap(), "--unshare-all", "--die-with-parent", *shown, *program]


def main() -> None:
    print(conditions().rstrip(", "))
    chosen = programs()
    with Sandbox(workers=WORKERS) as sandbox, tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], int]] = {
            "ours": lambda: ours(sandbox, chosen),
            "plain": lambda: processes(plain, Path(folder), chosen),
            "bubblewrap": lambda: processes(isolated, Path(folder), chosen),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS):
            for name in sorted(ways, reverse=number % 2 == 1):
                started = time.perf_counter()
                assert ways[name]() == len(chosen), f"{name}: not all programs passed"
                taken[name].append(time.perf_counter() - started)
    rate = {name: len(chosen) / median(seconds) for name, seconds in taken.items()}
    print(f"{len(chosen)} programs, {WORKERS} workers, median of {ROUNDS} rounds in turns")
    for peer in ("plain", "bubblewrap"):
        ratio = median(theirs / own for theirs, own in zip(taken[peer], taken["ours"], strict=True))
        print(
            closing_line(
                f"sandbox_{peer}", ratio, f"{rate['ours']:.0f} programs/s", f"{rate[peer]:.0f} with {peer} processes"
            )
        )


if __name__ == "__main__":
    main()
