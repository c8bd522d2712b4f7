"""Kills and faults during generation, in full: 10,000 rows, five kills. `make bench NAME=faults`.

The endpoint misbehaves on more than a quarter of all tries; the run is killed by SIGKILL at random moments and started
again until it is done. Checked is what `tests/faults/test_generation.py` checks on fewer rows.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from tests.benchmarks.report import closing_line, conditions
from tests.faults.generation_run import (
    CONCURRENCY,
    FAULTS,
    REFUSED,
    attempt,
    check,
    disturbed,
    prepare,
    published,
)
from tests.servers.running import RunningServer

ROWS = 10_000
KILLS = 5


def main() -> None:
    print(conditions("aiohttp", "sqlalchemy"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with RunningServer("--refuse", REFUSED, "--delay", "0.05") as server:
            prepare(folder / "undisturbed", server)
            started = time.perf_counter()
            attempt(folder / "undisturbed", ROWS)
            seconds = time.perf_counter() - started
        with RunningServer("--refuse", REFUSED, *FAULTS) as server:
            found = disturbed(folder / "disturbed", server, ROWS, KILLS, random.Random(0))
        check(found, published(folder / "undisturbed"), folder / "disturbed", ROWS, KILLS)
    print(
        f"{found.kills} kills: {found.asked_again} stored answers asked again, {found.answered_again} answers lost in "
        f"flight at {CONCURRENCY} at a time; table, ledger and dead letters as without them"
    )
    print(
        closing_line(
            "faults_generation",
            seconds / found.seconds,
            f"{found.seconds:.0f} s with kills and faults",
            f"{seconds:.0f} s",
        )
    )


if __name__ == "__main__":
    main()
