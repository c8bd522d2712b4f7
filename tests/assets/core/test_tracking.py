"""Training runs in MLflow: what is kept of them, over kills and failures too."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from assets.core.errors import InputError
from assets.core.home import CHECKOUT
from assets.core.lake import Dataset
from assets.core.registry import register_champion
from assets.core.tracking import DIGEST, FINGERPRINT, Tracking, TrainingRun, flatten

CHILD = """
import sys, time
from assets.core.tracking import Tracking
tracking = Tracking(tracking_uri=sys.argv[1], artifacts=sys.argv[2], system_metrics_seconds=0.05)
with tracking.training_run(name="child", fingerprint=sys.argv[3], params={"a": 1}) as run:
    for step in range(10):
        run.log_step(step, {"loss": 10.0 - step})
    run.flush()
    run.log_step(10, {"loss": 0.0})
    print(run.run_id, flush=True)
    time.sleep(float(sys.argv[4]))
"""


def start_child(uri: str, artifacts: str, fingerprint: str, sleep: float, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, uri, artifacts, fingerprint, str(sleep)],
        cwd=cwd, env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin", "HOME": str(cwd)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def series(tracking: Tracking, run_id: str, metric: str) -> list[tuple[int, float]]:
    points = tracking.client().get_metric_history(run_id, metric)
    return [(point.step, point.value) for point in sorted(points, key=lambda point: point.step)]


def files_of(tracking: Tracking, model_id: str) -> Path:
    return Path(tracking.files(tracking.client().get_logged_model(model_id).artifact_location).download_artifacts(""))


def test_importing_does_not_import_mlflow() -> None:
    """Protects the start-up of the code location: MLflow alone takes more than a second."""
    command = "import sys, assets.core.registry; assert not {'mlflow', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", command], cwd=CHECKOUT, check=True)


def test_run_keeps_what_the_training_was(tracking: Tracking, plan: Dataset) -> None:
    """Protects the record: parameters by dotted names, every point, tags, status and system metrics."""
    params = {"lr": 3e-4, "optimizer": {"betas": [0.9, 0.95], "name": "adamw"}, "none": None}
    with tracking.training_run(
        name="toy", fingerprint="record", params=params, datasets=[("training", plan)], tags={"plan": "uniform"}
    ) as run:
        for step in range(2500):
            run.log_step(step, {"loss": 1 / (step + 1), "grad_norm": step})
        time.sleep(0.3)
    kept = tracking.client().get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == "toy"
    assert kept.data.params == {
        "lr": "0.0003", "optimizer.betas": "[0.9, 0.95]", "optimizer.name": "adamw", "none": "None"
    }  # fmt: skip
    assert kept.data.tags[FINGERPRINT] == "record"
    assert kept.data.tags["plan"] == "uniform"
    assert series(tracking, run.run_id, "loss") == [(step, 1 / (step + 1)) for step in range(2500)]
    assert len(series(tracking, run.run_id, "system/cpu_utilization_percentage")) >= 2
    assert kept.data.metrics["system/system_memory_usage_megabytes"] > 0


def test_inputs_carry_the_digest_of_the_lake(tracking: Tracking, plan: Dataset) -> None:
    """Protects the way from a run back to its data: name, digest, place and columns of the lake, also of one part."""
    from mlflow.types import Schema

    part = plan.slice("clip")
    with tracking.training_run(
        name="toy", fingerprint="inputs", params={}, datasets=[("plan", plan), ("clip only", part)]
    ) as run:
        pass
    inputs = {entry.dataset.name: entry for entry in tracking.client().get_run(run.run_id).inputs.dataset_inputs}
    assert set(inputs) == {"toy/plan@7", "toy/plan@7#clip"}
    assert part.digest != plan.digest
    for name, dataset, context in (("toy/plan@7", plan, "plan"), ("toy/plan@7#clip", part, "clip only")):
        entry = inputs[name]
        assert entry.dataset.digest == dataset.digest[:32]
        assert {tag.key: tag.value for tag in entry.tags} == {DIGEST: dataset.digest, "mlflow.data.context": context}
        assert (Path(json.loads(entry.dataset.source)["uri"]) / "manifest.json").is_file()
        assert json.loads(entry.dataset.profile)["num_rows"] == dataset.rows
        schema = Schema.from_json(json.dumps(json.loads(entry.dataset.schema)["mlflow_colspec"]))
        assert [str(column.type) for column in schema] == ["DataType.string", "Array(string)"]


def test_error_marks_the_run_as_failed(tracking: Tracking) -> None:
    """Protects the status and the last points of a training that raises, and the error itself."""
    run_ids = []

    def diverge() -> None:
        with tracking.training_run(name="toy", fingerprint="failure", params={}) as run:
            run_ids.append(run.run_id)
            run.log_step(0, {"loss": 2.0})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        diverge()
    assert tracking.client().get_run(run_ids[0]).info.status == "FAILED"
    assert series(tracking, run_ids[0], "loss") == [(0, 2.0)]


def test_killed_run_goes_on(tracking: Tracking, plan: Dataset, tmp_path: Path) -> None:
    """Protects resumption after kill -9: the same run, no point twice, and what the kill lost can be filled in."""
    child = start_child(tracking.tracking_uri, tracking.artifacts, "killed", 60, tmp_path)
    assert child.stdout is not None
    run_id = child.stdout.readline().strip()
    child.kill()
    _, stderr = child.communicate()
    assert run_id, stderr
    assert tracking.client().get_run(run_id).info.status == "RUNNING"
    assert [step for step, _ in series(tracking, run_id, "loss")] == list(range(10))
    before = len(series(tracking, run_id, "system/cpu_utilization_percentage"))
    with tracking.training_run(
        name="again", fingerprint="killed", params={"a": 1, "b": 2}, datasets=[("plan", plan)]
    ) as run:
        assert run.run_id == run_id
        for step in range(5, 20):
            if step != 10:
                run.log_step(step, {"loss": -1.0, "late": 1.0})
        for step in range(20):
            run.log_step(step, {"loss": 0.5})
        time.sleep(0.2)
    after = series(tracking, run_id, "loss")
    assert after[:10] == [(step, 10.0 - step) for step in range(10)]
    assert after[10:] == [(10, 0.5)] + [(step, -1.0) for step in range(11, 20)]
    assert [step for step, _ in series(tracking, run_id, "late")] == [step for step in range(5, 20) if step != 10]
    system = [step for step, _ in series(tracking, run_id, "system/cpu_utilization_percentage")]
    assert len(system) > before
    assert system == list(range(len(system)))
    kept = tracking.client().get_run(run_id)
    assert (kept.info.status, kept.data.params) == ("FINISHED", {"a": "1", "b": "2"})


def test_one_run_for_a_fingerprint(tracking: Tracking, plan: Dataset) -> None:
    """Protects a training whose result could not be published: the retry neither starts an empty run nor logs the
    inputs again, and another fingerprint has another run."""
    ids = set()
    for _ in range(2):
        with tracking.training_run(name="toy", fingerprint="one", params={}, datasets=[("plan", plan)]) as run:
            run.log_step(0, {"loss": 1.0})
        ids.add(run.run_id)
    assert len(ids) == 1
    assert len(tracking.client().get_run(run.run_id).inputs.dataset_inputs) == 1
    assert series(tracking, run.run_id, "loss") == [(0, 1.0)]
    with tracking.training_run(name="toy", fingerprint="other", params={}) as other:
        pass
    assert other.run_id not in ids


def test_training_goes_on_while_the_store_refuses(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects a training of hours from a store that is away for a moment: points wait and none is lost."""
    monkeypatch.setattr("assets.core.tracking.FLUSH_SECONDS", 0.0)
    with tracking.training_run(name="toy", fingerprint="refused", params={}) as run:
        log_batch = run._client.log_batch
        refusals = iter([ConnectionError("away")])

        def unsteady(*args: object, **options: object) -> object:
            for refusal in refusals:
                raise refusal
            return log_batch(*args, **options)

        monkeypatch.setattr(run._client, "log_batch", unsteady)
        with caplog.at_level(logging.WARNING, logger="athanor"):
            for step in range(3):
                run.log_step(step, {"loss": float(step)})
    assert "they wait: away" in caplog.text
    assert series(tracking, run.run_id, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_points_are_sent_in_batches(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the speed of a training: a step does not write to the database."""
    with tracking.training_run(name="toy", fingerprint="batches", params={}) as run:
        calls = []
        monkeypatch.setattr(run._client, "log_batch", lambda *args, **options: calls.append(len(options["metrics"])))
        run._due = time.monotonic() + 60
        for step in range(1500):
            run.log_step(step, {"loss": 1.0, "lr": 1.0})
        assert calls == [1000, 1000, 1000]


@pytest.mark.slow
def test_two_processes_make_the_store_at_once(tmp_path: Path) -> None:
    """Protects the first run of two terminals, after one that was killed while it made the store: one store, one
    experiment, both runs whole, files where they belong, nothing in the working directory and no chatter."""
    home, cwd = tmp_path / "new" / "home", tmp_path / "cwd"
    cwd.mkdir()
    uri, artifacts = f"sqlite:///{home / 'mlflow.db'}", str(home / "artifacts")
    killed = start_child(uri, artifacts, "killed", 0, cwd)
    unfinished = home / "mlflow.db.unfinished"
    while not (unfinished.exists() and unfinished.stat().st_size > 0):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.001)
    killed.kill()
    killed.communicate()
    assert unfinished.exists()
    assert not (home / "mlflow.db").exists()
    children = [start_child(uri, artifacts, f"twin{index}", 0, cwd) for index in range(2)]
    for child in children:
        stdout, stderr = child.communicate(timeout=120)
        assert child.returncode == 0, stderr
        assert stderr == ""
        assert len(stdout.split()) == 1
    client = Tracking(tracking_uri=uri, artifacts=artifacts).client()
    experiment = client.get_experiment_by_name("athanor")
    assert experiment.artifact_location == Path(artifacts).as_uri()
    assert len(client.search_experiments(filter_string="name = 'athanor'")) == 1
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FINISHED"] * 2
    assert list(cwd.iterdir()) == []


def test_model_loads_in_mlflow_and_in_transformers(
    tracking: Tracking, plan: Dataset, make_model: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the LoggedModel: it generates three ways, keeps the folder's bytes, and links to run and data."""
    import mlflow
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = make_model(0)
    with tracking.training_run(name="toy", fingerprint="model", params={}) as run:
        run.log_step(41, {"loss": 1.0})
        model_id = run.log_model(folder, name="toy", params={"a": {"b": 1}}, metrics={"bpb": 1.5}, dataset=plan)
        assert run.log_model(folder, name="toy", params={}, metrics={"bpb": 1.5}) == model_id
    files = files_of(tracking, model_id)
    assert Path(tracking.artifacts) in files.parents
    assert {path.name: path.read_bytes() for path in (files / "model").iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert not [path for path in files.rglob("*") if path.suffix in {".bin", ".pkl", ".pt"}]
    tokenizer = AutoTokenizer.from_pretrained(files / "model")
    plain = AutoModelForCausalLM.from_pretrained(files / "model")
    prompt = tokenizer("def f", return_tensors="pt")["input_ids"]
    expected = tokenizer.decode(plain.generate(prompt, max_new_tokens=8, do_sample=False)[0])
    previous = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking.tracking_uri)
    try:
        pipeline = mlflow.transformers.load_model(f"models:/{model_id}")
        function = mlflow.pyfunc.load_model(f"models:/{model_id}")
    finally:
        mlflow.set_tracking_uri(previous)
    assert pipeline("def f", max_new_tokens=8, do_sample=False)[0]["generated_text"] == expected
    assert function.predict("def f")
    model = tracking.client().get_logged_model(model_id)
    assert (model.status, model.source_run_id, model.params) == ("READY", run.run_id, {"a.b": "1"})
    assert [(metric.key, metric.value, metric.step) for metric in model.metrics] == [("bpb", 1.5, 41)]
    assert (model.metrics[0].dataset_name, model.metrics[0].dataset_digest) == ("toy/plan@7", plan.digest[:32])
    kept = tracking.client().get_run(run.run_id)
    assert [output.model_id for output in kept.outputs.model_outputs] == [model_id]
    assert [entry.dataset.name for entry in kept.inputs.dataset_inputs] == ["toy/plan@7"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "tokenizer_config.json missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"\*.safetensors missing"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"), "pickled files: pytorch_model.bin"),
    ],
)
def test_spoilt_folder_is_refused(
    tracking: Tracking, make_model: Callable[[int], Path], spoil: Callable[[Path], None], message: str
) -> None:
    """Protects users from models that do not load, and from pickles; nothing half-made counts as ready."""
    folder = make_model(1)
    spoil(folder)
    with (
        pytest.raises(InputError, match=message),
        tracking.training_run(name="toy", fingerprint=f"spoilt {message}", params={}) as run,
    ):
        run.log_model(folder, name="toy", params={}, metrics={})
    experiment = tracking.experiment_id(tracking.client())
    models = tracking.client().search_logged_models([experiment], f"source_run_id = '{run.run_id}'")
    assert [model.status for model in models] == ["FAILED"]


def test_failed_upload_is_not_taken_for_the_model(
    tracking: Tracking, make_model: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from a torn model: after an upload that failed, the same folder is kept anew."""

    def disk_full(*args: object) -> None:
        raise OSError("the disk is full")

    folder = make_model(2)
    with tracking.training_run(name="toy", fingerprint="torn", params={}) as run:
        with monkeypatch.context() as patch:
            patch.setattr(TrainingRun, "_link_model", disk_full)
            with pytest.raises(OSError, match="disk"):
                run.log_model(folder, name="toy", params={}, metrics={})
        model_id = run.log_model(folder, name="toy", params={}, metrics={})
    assert tracking.client().get_logged_model(model_id).status == "READY"


def test_password_of_the_store_is_written_nowhere(
    tracking: Tracking,
    plan: Dataset,
    make_model: Callable[[int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects the secret in the tracking URI: it is in no table and in no file of MLflow."""
    database = tmp_path / "hunter2.db"
    shutil.copyfile(tracking.tracking_uri.removeprefix("sqlite:///"), database)
    monkeypatch.setenv("STORE", f"sqlite:///{database}")
    secret = Tracking(tracking_uri=dg.EnvVar("STORE"), artifacts=tracking.artifacts).process_config_and_initialize()
    with secret.training_run(name="toy", fingerprint="secret", params={}, datasets=[("plan", plan)]) as run:
        run.log_step(0, {"loss": 1.0})
        model_id = run.log_model(make_model(3), name="toy", params={}, metrics={"bpb": 1.0}, dataset=plan)
    register_champion(
        secret, name="secret", model_id=model_id, candidate_score=1.0, passes_checks=True, score_of=lambda folder: 2.0
    )
    written = [database, *(path for path in Path(secret.artifacts).rglob("*") if path.is_file())]
    assert len(written) > 5
    assert [path for path in written if b"hunter2" in path.read_bytes()] == []
    assert model_id.encode() in database.read_bytes()


def test_artifacts_elsewhere_are_refused(tracking: Tracking, tmp_path: Path) -> None:
    """Protects from models that silently go to the folder of an old home."""
    moved = Tracking(tracking_uri=tracking.tracking_uri, artifacts=str(tmp_path / "moved"))
    with pytest.raises(InputError, match="keeps its files in"):
        moved.experiment_id(moved.client())


def test_flatten() -> None:
    """Protects parameter names and values, as a run shows them."""
    assert flatten({"a": {"b": {"c": 1}}, "d": (1, 2), "e": {}}) == {"a.b.c": "1", "d": "[1, 2]"}
