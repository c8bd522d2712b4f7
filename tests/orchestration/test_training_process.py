"""Dagster trains in processes of its own: live, bit-equal, ended and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from assets.core.home import CHECKOUT
from assets.core.trainer import TrainerResource
from tests.assets.core import tiny_training
from tests.assets.core.tiny_training import facts, materialize

pytestmark = pytest.mark.slow
QUIET = {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def log_lines(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> list[str]:
    return [entry.message for entry in instance.all_logs(result.run_id)]


def children(word: str) -> list[psutil.Process]:
    """The processes below this one whose command holds a word."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if word in process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_process_of_its_own_is_live_and_bit_equal(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps reach the asset while the process runs, lines the Dagster log, and the weights are those of this one."""
    materialize(TrainerResource(), str(tmp_path / "here"), instance)
    seen_alive: list[bool] = []

    class Watched(list[tuple[int, float]]):
        def append(self, step: tuple[int, float]) -> None:
            seen_alive.append(bool(children("orchestration.training_process")))
            super().append(step)

    monkeypatch.setattr(tiny_training, "RECORDS", Watched())
    result = materialize(TrainerResource(launcher="subprocess"), str(tmp_path / "there"), instance)
    here, there = facts(str(tmp_path / "here")), facts(str(tmp_path / "there"))
    assert there["weights_digest"] == here["weights_digest"]
    assert there["losses"] == here["losses"]
    assert list(enumerate(here["losses"])) == tiny_training.RECORDS  # type: ignore[arg-type]
    assert seen_alive[0]
    assert any(line.startswith("step 1 of 12: loss") for line in log_lines(instance, result))


def test_deepspeed_on_two_processes(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The resource's settings reach DeepSpeed under torchrun; losses are those of one process to 1e-5."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install -e '.[dev]'")
    materialize(TrainerResource(), str(tmp_path / "one"), instance)
    divided = TrainerResource(launcher="subprocess", processes=2, backend="deepspeed", zero_stage=3)
    materialize(divided, str(tmp_path / "two"), instance)
    losses = facts(str(tmp_path / "one"))["losses"]
    assert facts(str(tmp_path / "two"))["losses"] == pytest.approx(losses, rel=1e-5)
    (report,) = (tmp_path / "two" / "lake").rglob("manifest.json")
    assert json.loads(report.read_text())["ingredients"]["identity"]["trainer"]["zero_stage"] == 3


@pytest.mark.parametrize("processes", [1, 2])
def test_ended_and_resumed(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """A training process that is told to end saves; the asset says so, and the next materialization goes on."""
    home, trainer = str(tmp_path / "home"), TrainerResource(launcher="subprocess", processes=processes)

    class Ending(list[tuple[int, float]]):
        def append(self, step: tuple[int, float]) -> None:
            if step[0] == 20:
                for process in children("orchestration.training_process"):
                    process.send_signal(signal.SIGTERM)
            super().append(step)

    monkeypatch.setattr(tiny_training, "RECORDS", Ending())
    sizes = {"steps": 300, "checkpoint_every": 250}
    ended = materialize(trainer, home, instance, raise_on_error=False, **sizes)
    assert not ended.success
    failure = next(event for event in ended.all_events if event.is_step_failure).step_failure_data
    assert "asked to end: saved after step" in str(failure.error)
    monkeypatch.setattr(tiny_training, "RECORDS", [])
    materialize(trainer, home, instance, **sizes)
    resumed_from = facts(home)["resumed_from"]
    assert isinstance(resumed_from, int)
    assert 20 < resumed_from < 250
    materialize(trainer, str(tmp_path / "whole"), instance, **sizes)
    assert facts(home)["weights_digest"] == facts(str(tmp_path / "whole"))["weights_digest"]


def test_a_fault_is_what_it_is_in_process(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """What the process refuses is raised in the asset, not `failed with code 1`."""
    result = materialize(
        TrainerResource(launcher="subprocess"), str(tmp_path), instance, raise_on_error=False, steps=100_000
    )
    failure = next(event for event in result.all_events if event.is_step_failure).step_failure_data
    assert "ValueError: 100000 steps of 4 rows" in str(failure.error)


def test_a_process_whose_dagster_was_killed_saves_and_ends(tmp_path: Path) -> None:
    """It does not go on in secret, on a GPU that the next run wants and in that run's state folder."""
    code = (
        "import dagster as dg; from assets.core.trainer import TrainerResource;"
        "from tests.assets.core.tiny_training import materialize\n"
        "with dg.DagsterInstance.ephemeral() as instance:\n"
        f"    materialize(TrainerResource(launcher='subprocess'), {str(tmp_path)!r}, instance, steps=400)\n"
    )
    dagster = subprocess.Popen([sys.executable, "-c", code], cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    wait_until(lambda: any(tmp_path.rglob("metrics.jsonl")), dagster)
    (trainer,) = children("orchestration.training_process")
    dagster.kill()
    dagster.wait()
    _, alive = psutil.wait_procs([trainer], timeout=60)
    assert not alive
    (state,) = {path.parent for path in tmp_path.rglob("metrics.jsonl")}
    assert list(state.glob("step-*"))


def wait_until(condition: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_dagster_it_trains_alone(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The same command and description, with a progress bar in place of Pipes."""
    from models.training.run import read_report
    from models.training.run_description import read_description, write_description

    described = launched_description(instance, tmp_path, TrainerResource(launcher="subprocess"))
    alone = described.with_name("alone.json")
    changed = {"output": tmp_path / "output", "state": tmp_path / "state"}
    write_description(read_description(described).model_copy(update=changed), alone)
    command = [sys.executable, "-m", "orchestration.training_process", str(alone), "--processes", "2"]
    done = subprocess.run(command, cwd=CHECKOUT, env=os.environ | QUIET, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trained 12 steps" in done.stdout
    assert read_report(tmp_path / "output").steps == 12


def launched_description(instance: dg.DagsterInstance, folder: Path, trainer: TrainerResource) -> Path:
    """The folder that a launch writes, copied before it is published and removed."""
    from assets.core import launching

    kept = folder / "kept"
    real = launching.start

    def start(trainer: Any, context: Any, path: Path, messages: Any) -> None:
        real(trainer, context, path, messages)
        shutil.copytree(path.parent, kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "start", start)
        materialize(trainer, str(folder / "home"), instance)
    content = json.loads((kept / "run.json").read_text())
    content |= {"model": "model", "data": "data"}
    (kept / "run.json").write_text(json.dumps(content))
    return kept / "run.json"


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """Two Ray nodes of one CPU each on this machine, and the address of the dashboard that takes jobs."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[dev]'")
    pytest.importorskip("dagster_ray", reason="dagster-ray is not installed: pip install -e '.[dev]'")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(num_cpus=1)
        yield f"http://{cluster.head_node.webui_url}"
    finally:
        cluster.shutdown()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("nodes", [1, 2])
def test_on_ray(instance: dg.DagsterInstance, tmp_path: Path, ray_cluster: str, nodes: int) -> None:
    """A job of the cluster trains, on one machine bit-equal with this process, on two to 1e-5; steps come live."""
    materialize(TrainerResource(), str(tmp_path / "here"), instance)
    trainer = TrainerResource(
        launcher="ray", nodes=nodes, ray_address=ray_cluster, python=sys.executable, shared_folder=str(tmp_path)
    )
    result = materialize(trainer, str(tmp_path / "ray"), instance)
    here, there = facts(str(tmp_path / "here")), facts(str(tmp_path / "ray"))
    assert there["losses"] == pytest.approx(here["losses"], rel=1e-5)
    assert (there["weights_digest"] == here["weights_digest"]) == (nodes == 1)
    assert [step for step, _ in tiny_training.RECORDS] == list(range(12))
    assert any(line.startswith("step 1 of 12: loss") for line in log_lines(instance, result))


@pytest.mark.timeout(600)
def test_a_stopped_ray_job_saves(instance: dg.DagsterInstance, tmp_path: Path, ray_cluster: str) -> None:
    """Stopping the job reaches the processes on both machines; they save, and none is left behind."""
    from ray.job_submission import JobSubmissionClient

    from models.training.metrics_file import read_metrics

    path = launched_description(instance, tmp_path, TrainerResource(launcher="subprocess"))
    content = json.loads(path.read_text()) | {"state": "state", "output": "output"}
    # A step takes milliseconds, and stopping seconds.
    content["plan"] |= {"steps": 4500, "checkpoint_every": 4499}
    path.write_text(json.dumps(content))
    client = JobSubmissionClient(ray_cluster)
    job = client.submit_job(
        entrypoint=f"{sys.executable} -m models.training.ray_nodes {path} --nodes 2",
        runtime_env={"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}},
    )
    deadline = time.monotonic() + 240
    while len(read_metrics(path.parent / "state" / "metrics.jsonl")) < 5:
        assert not client.get_job_status(job).is_terminal(), client.get_job_logs(job)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client.stop_job(job)
    while not client.get_job_status(job).is_terminal():
        time.sleep(0.1)
    # Ray calls a job stopped before its processes have ended, and these remove the state before the last.
    running = [each for each in psutil.process_iter(["cmdline"]) if str(path) in (each.info["cmdline"] or [])]
    _, alive = psutil.wait_procs(running, timeout=30)
    assert not alive
    (saved,) = (path.parent / "state").glob("step-*")
    assert 5 <= int(saved.name.removeprefix("step-")) < 4499


class OnePod:
    """What PipesK8sClient asks of a cluster, with the pod's container as a process of this machine."""

    def __init__(self) -> None:
        self.core_api = self
        self.pod: Any = None
        self.deleted: list[str] = []

    def create_namespaced_pod(self, namespace: str, pod: Any) -> None:
        self.pod = pod
        container = pod.spec.containers[0]
        variables = {variable.name: variable.value for variable in container.env if variable.name != "HOME"}
        self.process = subprocess.Popen(container.command, env=os.environ | variables, cwd=CHECKOUT)

    def wait_for_pod(self, *arguments: Any, **options: Any) -> None:
        if self.process.wait():
            raise RuntimeError("the pod failed")

    def delete_namespaced_pod(self, name: str, namespace: str) -> None:
        self.deleted.append(name)


def test_on_kubernetes_but_for_the_cluster(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command and variables of the pod train and report through the shared folder, bit-equal; it is removed."""
    pipes = pytest.importorskip("dagster_k8s.pipes", reason="dagster-k8s is not installed: pip install -e '.[dev]'")
    cluster = OnePod()
    monkeypatch.setattr(pipes.PipesK8sClient, "_load_k8s_config", lambda self: None)
    monkeypatch.setattr(pipes.DagsterKubernetesClient, "production_client", lambda: cluster)
    trainer = TrainerResource(
        launcher="kubernetes", image="athanor:1", volume_claim="lake", namespace="training", python=sys.executable,
        shared_folder=str(tmp_path),
    )  # fmt: skip
    result = materialize(trainer, str(tmp_path / "pod"), instance)
    materialize(TrainerResource(), str(tmp_path / "here"), instance)
    assert facts(str(tmp_path / "pod"))["weights_digest"] == facts(str(tmp_path / "here"))["weights_digest"]
    assert any(line.startswith("step 1 of 12: loss") for line in log_lines(instance, result))
    assert cluster.pod.spec.containers[0].image == "athanor:1"
    assert cluster.deleted == [cluster.pod.metadata.name]
