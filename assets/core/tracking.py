"""Training runs in MLflow: parameters, curves, system metrics, the lake's digests of the data, and the trained model.

MLflow is imported when it is first used, and without its global state: nothing here sets the tracking URI, the
experiment or the active run of the process.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from filelock import FileLock
from pydantic import Field

from assets.core.errors import InputError
from assets.core.lake import Dataset
from assets.core.progress import LOGGER
from assets.core.tracking_model import DIGEST, FOLDER, dataset_input, describe_model, digest_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

FINGERPRINT = "athanor.fingerprint"
FLUSH_SECONDS = 2.0
FLUSH_POINTS = 1000  # the most that MLflow takes in one request
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class Tracking(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where MLflow keeps runs and models. The store and the experiment are made at the first use."""

    tracking_uri: str = Field(description="sqlite:///…, another database, or the URL of an MLflow server.")
    artifacts: str = Field(description="Folder or URL of the experiment's files; an MLflow server uses its own.")
    experiment: str = "athanor"
    system_metrics_seconds: float = Field(5.0, gt=0, description="Seconds between two samples of CPU, memory, GPU.")

    def client(self) -> MlflowClient:
        """MLflow's client for this store. Of two processes that make a SQLite store at once, one waits; a kill leaves
        none half-made."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
        database = self._database()
        with self.lock("create"):
            if database and not database.exists():
                unfinished = database.with_name(f"{database.name}.unfinished")
                unfinished.unlink(missing_ok=True)
                MlflowClient(tracking_uri=f"sqlite:///{unfinished}")
                unfinished.rename(database)
            return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def _database(self) -> Path | None:
        """The file of a SQLite store, in a folder that exists."""
        if not self.tracking_uri.startswith("sqlite:///"):
            return None
        database = Path(self.tracking_uri.removeprefix("sqlite:///").split("?")[0]).resolve()
        database.parent.mkdir(parents=True, exist_ok=True)
        return database

    def lock(self, name: str) -> AbstractContextManager[object]:
        """Only one process at a time. Beside a SQLite file; other stores offer no lock, so there is none."""
        database = self._database()
        return (
            FileLock(database.with_name(f"{database.name}.{name.replace('/', '~')}.lock"))
            if database
            else nullcontext()
        )

    def experiment_id(self, client: MlflowClient) -> str:
        """The id of the experiment, made when it is missing, with its files in `artifacts`."""
        served = self.tracking_uri.startswith(("http:", "https:", "databricks"))
        url = self.artifacts if "://" in self.artifacts else Path(self.artifacts).expanduser().resolve().as_uri()
        with self.lock("create"):
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                return client.create_experiment(self.experiment, artifact_location=None if served else url)
        if found.lifecycle_stage == "deleted":
            raise InputError(
                f"the MLflow experiment {self.experiment!r} was deleted",
                f"restore it (`mlflow experiments restore -x {found.experiment_id}`) or name another one",
            )
        if not served and found.artifact_location != url:
            raise InputError(
                f"the MLflow experiment {self.experiment!r} keeps its files in {found.artifact_location}, not in {url}",
                "set `artifacts` to that place, or name another experiment",
            )
        return str(found.experiment_id)

    def files(self, location: str) -> ArtifactRepository:
        """The files that MLflow keeps at a location."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(location, tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    @contextmanager
    def training_run(
        self,
        *,
        name: str,
        fingerprint: str,
        params: Mapping[str, object],
        datasets: Sequence[tuple[str, Dataset]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> Iterator[TrainingRun]:
        """The MLflow run of a training: FINISHED at the end of the block, FAILED when it raises.

        A fingerprint has one run. Where there is one already (its process was killed, failed, or could not publish
        the result), that run goes on. `datasets` are (context, dataset) pairs; nested params get dotted names.
        """
        client = self.client()
        experiment = self.experiment_id(client)
        found = client.search_runs([experiment], f"tags.`{FINGERPRINT}` = '{fingerprint}'", max_results=1)
        if found:
            entity = client.get_run(found[0].info.run_id)
            client.update_run(entity.info.run_id, status="RUNNING")
            LOGGER.info("goes on with MLflow run %s", entity.info.run_id)
        else:
            entity = client.create_run(experiment, run_name=name, tags={FINGERPRINT: fingerprint})
        run = TrainingRun(self, client, entity)
        monitor = self._monitor(run.run_id)
        try:
            run.declare(params, datasets, tags or {})
            monitor.start()
            yield run
            run.flush()
        except BaseException:
            _end(client, run, monitor, "FAILED")
            raise
        _end(client, run, monitor, "FINISHED")

    def _monitor(self, run_id: str) -> SystemMetricsMonitor:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        return SystemMetricsMonitor(
            run_id, self.system_metrics_seconds, resume_logging=True, tracking_uri=self.tracking_uri
        )


def _end(client: MlflowClient, run: TrainingRun, monitor: SystemMetricsMonitor, status: str) -> None:
    """Close a run; after a failure nothing may hide the error that is on its way."""
    monitor.finish()
    try:
        run.flush()
        client.set_terminated(run.run_id, status)
    except Exception as error:
        if status == "FINISHED":
            raise
        LOGGER.warning("MLflow run %s could not be marked as failed: %s", run.run_id, error)


class TrainingRun:
    """One run in MLflow, while its training goes on."""

    def __init__(self, tracking: Tracking, client: MlflowClient, entity: Run) -> None:
        self.run_id = str(entity.info.run_id)
        self._tracking, self._client, self._entity = tracking, client, entity
        self._pending: list[tuple[str, float, int, int]] = []
        self._due = time.monotonic() + FLUSH_SECONDS
        self._logged = {
            name: {metric.step for metric in client.get_metric_history(self.run_id, name)}
            for name in entity.data.metrics
            if not name.startswith("system/")
        }

    def declare(
        self, params: Mapping[str, object], datasets: Sequence[tuple[str, Dataset]], tags: Mapping[str, str]
    ) -> None:
        """Record what the run is made of; what it has already stays."""
        from mlflow.entities import Param, RunTag

        fresh = {name: value for name, value in flatten(params).items() if name not in self._entity.data.params}
        self._client.log_batch(
            self.run_id,
            params=[Param(name, value) for name, value in fresh.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        if datasets:
            self._client.log_inputs(self.run_id, [dataset_input(context, dataset) for context, dataset in datasets])

    def log_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics of a step; a step of a metric that was recorded before, in this process or in one that was
        killed, is skipped. So the series of a finished training may be given again to fill what a kill lost.

        Points are sent every `FLUSH_SECONDS`. While the store does not take them they wait, and training goes on.
        """
        now = time.time_ns() // 1_000_000
        for name, value in metrics.items():
            steps = self._logged.setdefault(name, set())
            if step not in steps:
                steps.add(step)
                self._pending.append((name, float(value), now, step))
        if time.monotonic() < self._due and len(self._pending) < FLUSH_POINTS:
            return
        try:
            self.flush()
        except Exception as error:
            self._due = time.monotonic() + 10 * FLUSH_SECONDS
            LOGGER.warning("MLflow did not take %d points, they wait: %s", len(self._pending), error)

    def flush(self) -> None:
        """Send all points that wait."""
        from mlflow.entities import Metric

        while self._pending:
            batch = self._pending[:FLUSH_POINTS]
            self._client.log_batch(self.run_id, metrics=[Metric(*point) for point in batch])
            del self._pending[:FLUSH_POINTS]
        self._due = time.monotonic() + FLUSH_SECONDS

    def log_model(
        self,
        folder: Path,
        *,
        name: str,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        dataset: Dataset | None = None,
    ) -> str:
        """Keep a Hugging Face folder as a LoggedModel of this run and return its id; the same folder is kept once.

        `mlflow.transformers.load_model("models:/<id>")` loads it, and its files hold the folder unchanged under
        `model/`. `dataset` is what the metrics were measured on. `name` may not hold `/ : . % " '`.
        """
        digest = digest_folder(folder)
        experiment = self._entity.info.experiment_id
        same = f"source_run_id = '{self.run_id}' AND tags.`{DIGEST}` = '{digest}'"
        for known in self._client.search_logged_models([experiment], same):
            if known.status == "READY":
                return str(known.model_id)
        model = self._client.create_logged_model(
            experiment,
            name=name,
            source_run_id=self.run_id,
            tags={DIGEST: digest, FINGERPRINT: self._entity.data.tags[FINGERPRINT]},
            params=flatten(params),
            model_type="text-generation",
        )
        try:
            with tempfile.TemporaryDirectory() as temporary:
                describe_model(folder, Path(temporary), model, digest)
                self._tracking.files(model.artifact_location).log_artifacts(temporary)
            self._tracking.files(model.artifact_location).log_artifacts(str(folder), FOLDER)
            self._link_model(model.model_id, metrics, dataset)
        except BaseException:
            self._client.finalize_logged_model(model.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(model.model_id, "READY")
        return str(model.model_id)

    def _link_model(self, model_id: str, metrics: Mapping[str, float], dataset: Dataset | None) -> None:
        from mlflow.entities import LoggedModelOutput, Metric

        step = max((max(steps) for steps in self._logged.values() if steps), default=0)
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step)])
        measured = dataset_input("evaluation", dataset) if dataset else None
        if measured:
            self._client.log_inputs(self.run_id, [measured])
        now = time.time_ns() // 1_000_000
        points = [
            Metric(
                key, float(value), now, step, model_id=model_id, run_id=self.run_id,
                dataset_name=measured.dataset.name if measured else None,
                dataset_digest=measured.dataset.digest if measured else None,
            )
            for key, value in metrics.items()
        ]  # fmt: skip
        self._client.log_batch(self.run_id, metrics=points)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as dotted names, lists as JSON, everything else as text."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list | tuple) else str(value)
    return flat


__all__ = ["DIGEST", "FINGERPRINT", "FOLDER", "Tracking", "TrainingRun", "flatten"]
