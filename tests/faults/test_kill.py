"""kill -9 at any moment costs time and nothing else; two runs at once do the work once."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from pathlib import Path

import pytest

from tests.faults.checkout import LIMIT_SECONDS, Checkout, finish, kill, open_lake, published
from tests.faults.conftest import Undisturbed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
KILLS = int(os.environ.get("ATHANOR_KILLS", "6"))
SEED = int(os.environ.get("ATHANOR_KILL_SEED", "0"))
LONGEST_DELAY = 3.0


def kill_once(checkout: Checkout, home: Path, config: Path, after: int, delay: float) -> bool:
    """Start the main job and kill it `delay` seconds after `after` datasets are there; False when it ended before."""
    process = checkout.start(home, "demo", "--config", str(config))
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(published(home)) < after:
        assert time.monotonic() < deadline, f"no more than {after - 1} datasets after {LIMIT_SECONDS} seconds"
        if process.poll() is not None:
            process.communicate()
            return False
        time.sleep(0.02)
    time.sleep(delay)
    ended = process.poll() is not None
    kill(process)
    return not ended


def test_killed_again_and_again(checkout: Checkout, config: Path, undisturbed: Undisturbed, home: Path) -> None:
    """The main job, killed at random moments and started again, ends with the digests of an undisturbed run.

    What was published at a kill is not built again, every reader finds whole datasets, and a run after the last does
    no work. (ATHANOR_KILLS and ATHANOR_KILL_SEED choose how often and when.)
    """
    rng = random.Random(SEED)
    datasets = len(undisturbed.digests.splitlines())
    kills, before = 0, {}
    for after in sorted(rng.randrange(datasets + 1) for _ in range(KILLS)):
        kills += kill_once(checkout, home, config, after, rng.uniform(0, LONGEST_DELAY))
        earlier, before = before, published(home)
        assert {key: before[key] for key in earlier} == earlier, "a finished dataset was built twice"
        assert all(dataset.is_whole for dataset in open_lake(home).datasets())
        print(f"killed with {len(before)} of {datasets} datasets published")
    assert kills >= 2 * KILLS // 3

    last = checkout.run(home, "demo", "--config", str(config))
    assert last.code == 0, last.err
    assert checkout.digests(home) == undisturbed.digests
    after_all = published(home)
    assert {key: after_all[key] for key in before} == before, "a finished dataset was built twice"
    with sqlite3.connect(home / "dagster" / "history" / "runs.db") as database:
        statuses = {status for (status,) in database.execute("select status from runs")}
    assert statuses == {"SUCCESS", "FAILURE"}, "runs that were killed are not shown as running for ever"
    assert list((home / "lake" / ".staging").glob("*")) == []
    assert list((home / "work" / "progress").glob("*")) == []

    again = checkout.run(home, "demo", "--config", str(config))
    assert again.code == 0, again.err
    assert again.built == set()
    assert published(home) == after_all
    total = again.out.split("demo: ok, ")[1].split()[0]
    assert f"demo: ok, {total} assets, {total} reused" in again.out


def test_two_runs_at_once(checkout: Checkout, config: Path, undisturbed: Undisturbed, home: Path) -> None:
    """Two people start the same job on one home: both end well, with the same digests, and nothing is done twice."""
    started = time.monotonic()
    processes = [checkout.start(home, "demo", "--config", str(config)) for _ in range(2)]
    done = [finish(process, started) for process in processes]
    assert [each.code for each in done] == [0, 0], "\n".join(each.err for each in done)
    assert checkout.digests(home) == undisturbed.digests
    assert done[0].built.isdisjoint(done[1].built), "built by both"
    assert done[0].built | done[1].built == undisturbed.done.built
    for dataset in open_lake(home).datasets():
        assert len(open_lake(home).store.children(str(Path(dataset.location).parent))) == 1
    with sqlite3.connect(home / "mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (7,)  # four decoders, three policies
        assert database.execute("select count(*) from model_versions").fetchone() == (
            3,
        )  # a decoder, a start, a policy
