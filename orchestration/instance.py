"""The Dagster instance in the home folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunsFilter
from filelock import FileLock

from assets.core.home import Home

PID_TAG, HOST_TAG = "athanor/pid", "athanor/host"
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
python_logs:
  managed_python_loggers: [athanor]
  python_log_level: INFO
run_monitoring:
  enabled: true
concurrency:
  pools:
    # By run: a run that does one step at a time would claim a slot for each of its steps, and keep others waiting.
    granularity: run
    default_limit: 2
  runs:
    max_concurrent_runs: 2
"""
# Postgres holds runs, events and schedules when ATHANOR_POSTGRES_URL is set; its value stays in the environment.
POSTGRES_YAML = """\
storage:
  postgres:
    postgres_url:
      env: ATHANOR_POSTGRES_URL
"""


def prepare_home(home: Home) -> None:
    """Create the home's folders and Dagster's settings, and point Dagster at them."""
    for folder in (home.root, home.work, home.dagster, home.artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    settings = DAGSTER_YAML + (POSTGRES_YAML if os.environ.get("ATHANOR_POSTGRES_URL") else "")
    _write_if_changed(home.dagster / "dagster.yaml", settings)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    os.environ["ATHANOR_HOME"] = str(home.root)


def open_instance(home: Home) -> dg.DagsterInstance:
    """The instance of a prepared home; one process at a time, because Dagster's first one creates the databases."""
    with FileLock(home.dagster / "open.lock"):
        return dg.DagsterInstance.get()


def _write_if_changed(path: Path, content: str) -> None:
    if not path.exists() or path.read_text() != content:
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(content)
        temporary.replace(path)


def own_tags() -> dict[str, str]:
    """Tags that tell a later process whether the one that runs a job in process is still alive."""
    return {PID_TAG: str(os.getpid()), HOST_TAG: socket.gethostname()}


def bury_dead_runs(instance: dg.DagsterInstance) -> int:
    """Report runs as failed whose process was killed on this machine, and free the pool slots they held."""
    buried = 0
    for run in instance.get_runs(RunsFilter(statuses=list(NOT_FINISHED_STATUSES))):
        pid, host = run.tags.get(PID_TAG), run.tags.get(HOST_TAG)
        if pid is None or host != socket.gethostname() or _alive(int(pid), run_started=_started(instance, run.run_id)):
            continue
        instance.report_run_failed(run, f"process {pid} ended before the run did; start the job again to resume")
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        buried += 1
    return buried


def _started(instance: dg.DagsterInstance, run_id: str) -> float:
    record = instance.get_run_record_by_id(run_id)
    return record.create_timestamp.timestamp() if record else 0.0


def _alive(pid: int, run_started: float) -> bool:
    """Whether the process that started a run still lives: same pid, and not a younger process."""
    try:
        return bool(psutil.Process(pid).create_time() <= run_started + 1)
    except psutil.NoSuchProcess:
        return False
