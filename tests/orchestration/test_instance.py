"""Runs of killed processes do not block later ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from assets.core.home import Home
from orchestration.instance import HOST_TAG, PID_TAG, bury_dead_runs, prepare_home


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("ATHANOR_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    prepare_home(Home(tmp_path))
    with dg.DagsterInstance.get() as found:
        yield found


@dg.job
def empty() -> None: ...


def run_of(instance: dg.DagsterInstance, pid: int, host: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    return instance.create_run_for_job(empty, status=status, tags={PID_TAG: str(pid), HOST_TAG: host})


@pytest.mark.parametrize("killed_as", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_only_runs_of_dead_processes_are_buried(instance: dg.DagsterInstance, killed_as: dg.DagsterRunStatus) -> None:
    """A run whose process ended here is failed; one of a living process or another machine is left alone."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = run_of(instance, child.pid, socket.gethostname(), killed_as)
    alive = run_of(instance, os.getpid(), socket.gethostname(), dg.DagsterRunStatus.STARTED)
    elsewhere = run_of(instance, child.pid, "another-machine", dg.DagsterRunStatus.STARTED)
    assert bury_dead_runs(instance) == 1
    status = {run.run_id: run.status for run in instance.get_runs()}
    assert status[dead.run_id] is dg.DagsterRunStatus.FAILURE
    assert status[alive.run_id] is dg.DagsterRunStatus.STARTED
    assert status[elsewhere.run_id] is dg.DagsterRunStatus.STARTED


def test_a_password_of_postgres_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dagster.yaml names the variable, not its value."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path))
    monkeypatch.setenv("ATHANOR_POSTGRES_URL", "postgresql://user:secret@localhost/athanor")
    prepare_home(Home(tmp_path))
    settings = (tmp_path / "dagster" / "dagster.yaml").read_text()
    assert "ATHANOR_POSTGRES_URL" in settings
    assert "secret" not in settings


def test_processes_that_open_a_new_home_at_once_all_get_an_instance(tmp_path: Path) -> None:
    """Dagster's creation of its databases is not safe against itself: without a lock most of these fail."""
    opening = (
        "import sys; from pathlib import Path; from assets.core.home import Home;"
        "from orchestration.instance import open_instance, prepare_home;"
        "home = Home(Path(sys.argv[1])); prepare_home(home); sys.stdin.read();"
        "open_instance(home).get_runs()"
    )
    waiting = [
        subprocess.Popen([sys.executable, "-c", opening, str(tmp_path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    time.sleep(3)  # all are ready, so that closing their input starts them together
    for process in waiting:
        process.stdin.close()  # type: ignore[union-attr]
        process.stdin = None
    errors = [process.communicate()[1].decode() for process in waiting]
    assert [process.returncode for process in waiting] == [0] * 6, "\n".join(errors)
