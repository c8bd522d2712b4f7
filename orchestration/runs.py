"""Running a job in this process, as the commands do, and what came of it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from assets.core.home import Home
from assets.core.progress import LOGGER
from orchestration.instance import bury_dead_runs, open_instance, own_tags, prepare_home

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Built:
    """One materialization of a run."""

    asset: str
    partition: str
    reused: bool
    rows: int | None
    seconds: float
    digest: str


class RunFailed(Exception):
    """A job did not succeed; the message is for a person and names the remedy."""


def show_progress() -> None:
    """Print a line per asset as it is done, above any progress bar."""
    from tqdm import tqdm

    class Above(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tqdm.write(f"  {record.getMessage()}", file=sys.stderr)

    LOGGER.handlers = [Above()]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def run_job(name: str, *, partition: str | None = None, config: Mapping[str, Any] | None = None) -> list[Built]:
    """Run a job of the code location to its end; raises RunFailed with the first cause."""
    home = Home.from_environment()
    prepare_home(home)
    from orchestration.definitions import defs

    with open_instance(home) as instance:
        buried = bury_dead_runs(instance)
        if buried:
            LOGGER.info("%d interrupted run(s) found: what they finished is reused, training resumes", buried)
        result = (
            defs()
            .resolve_job_def(name)
            .execute_in_process(
                instance=instance,
                partition_key=partition,
                run_config={**QUIET, **(config or {})},
                tags=own_tags(),
                raise_on_error=False,
            )
        )
        if not result.success:
            raise RunFailed(first_cause(result) + f"\n(run {result.run_id}; `make ui` shows it whole)")
        return [built(event) for event in result.all_events if event.is_step_materialization]


def built(event: dg.DagsterEvent) -> Built:
    materialization = event.step_materialization_data.materialization
    metadata = {name: value.value for name, value in materialization.metadata.items()}
    rows = metadata.get("dagster/row_count", metadata.get("dagster/partition_row_count"))
    return Built(
        asset=materialization.asset_key.to_user_string(),
        partition=materialization.partition or "",
        reused=bool(metadata.get("reused")),
        rows=int(rows) if isinstance(rows, int | float) else None,
        seconds=float(metadata.get("seconds") or 0.0),  # type: ignore[arg-type]
        digest=str(metadata.get("digest") or ""),
    )


def first_cause(result: dg.ExecuteInProcessResult) -> str:
    """What failed first, without a traceback: the asset, the message, the remedy where there is one."""
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            described = failure.user_failure_data.description if failure.user_failure_data else None
            error = failure.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None and error.cls_name == "DagsterExecutionInterruptedError":
                return f"{event.step_key} was interrupted: start again to resume"
            message = described or (error.message.strip() if error else event.message)
            return f"{event.step_key} failed: {message}"
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if check.passed or check.severity is dg.AssetCheckSeverity.WARN:
                continue
            return f"check {check.check_name} of {check.asset_key.to_user_string()} failed: {check.metadata}"
    return "the run failed before its first step"
