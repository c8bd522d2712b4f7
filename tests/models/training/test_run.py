"""A described run: alone, with torchrun, refused, ended and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import RewardModel
from models.architecture.huggingface import load_folder, save_folder
from models.architecture.reward_folder import load_reward_folder
from models.training.checkpoint import weights_digest
from models.training.data_folder import TokenStream, load_stream, save_examples, save_stream
from models.training.examples import build_examples
from models.training.launch import torchrun_command
from models.training.loop import train
from models.training.metrics_file import MetricsFile, read_metrics
from models.training.plan import StepRecord, TrainingPlan
from models.training.run import check, read_report, run
from models.training.run_description import RunDescription, RunRefused, read_description

ROOT = Path(__file__).parents[3]
PLAN: dict[str, Any] = {
    "steps": 12, "batch_rows": 8, "sequence_length": 32, "peak_lr": 3e-3, "warmup_steps": 3, "accumulation": 2,
    "checkpoint_every": 5, "threads": 1,
}  # fmt: skip
QUIET = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "DS_ACCELERATOR": "cpu"}


@pytest.fixture
def folder(tmp_path: Path, model: Decoder, corpus: tuple[NDArray[np.uint32], NDArray[np.int64]]) -> Path:
    """A start model and a stream of the ragged corpus, 60 times over."""
    save_folder(model, tmp_path / "model", None)
    order = np.concatenate([np.random.default_rng(seed).permutation(300) for seed in range(60)])
    save_stream(tmp_path / "data", TokenStream(*corpus, order))
    return tmp_path


def describe(folder: Path, name: str = "run", **changes: Any) -> Path:
    """A description in `folder` with its own output and state; `plan` replaces some of the plan's fields."""
    plan = PLAN | changes.pop("plan", {})
    content = {"model": "model", "data": "data", "plan": plan, "output": f"{name}/output", "state": f"{name}/state"}
    (folder / name).mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content | changes))
    return path


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def alone(path: Path, *options: str) -> subprocess.Popen[str]:
    return start(sys.executable, "-m", "models.training", str(path), *options)


def wait_for(metrics: Path, steps: int, process: subprocess.Popen[str]) -> None:
    """Until so many steps are in the metrics file, while the process runs."""
    deadline = time.monotonic() + 120
    while len(read_metrics(metrics)) < steps:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_described_run_is_the_loop(folder: Path) -> None:
    """The weights are bit-equal with those of `train` in this process; metrics and report say the same."""
    steps: list[StepRecord] = []
    report = run(read_description(describe(folder)), steps.append)
    model = load_folder(folder / "model")
    train(model, load_stream(folder / "data").packed(32, 8), TrainingPlan(**PLAN), folder / "else", "data")
    assert weights_digest(load_folder(folder / "run" / "output")) == weights_digest(model)
    assert read_report(folder / "run" / "output") == report
    assert [line["loss"] for line in read_metrics(folder / "run/state/metrics.jsonl")] == report.losses
    assert [record.loss for record in steps] == report.losses


def test_a_finished_run_is_not_taken_again(folder: Path) -> None:
    """Started once more it finds all steps done and writes the same output."""
    described = read_description(describe(folder))
    run(described)
    first = weights_digest(load_folder(described.output))
    assert run(described).resumed_from == 12
    assert weights_digest(load_folder(described.output)) == first


def test_a_dry_run_says_what_would_be_done(folder: Path) -> None:
    """Steps, tokens and parameters are right, nothing is written, and it resumes where a run would."""
    described = read_description(describe(folder))
    facts = check(described)
    expected = sum(parameter.numel() for parameter in load_folder(folder / "model").parameters())
    assert (facts.steps, facts.tokens, facts.parameters) == (12, 12 * 8 * 32, expected)
    assert facts.memory_bytes > 16 * expected
    assert facts.resumes_from is None
    assert not described.output.exists()
    assert not described.state.exists()
    run(described)
    assert check(described).resumes_from == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": {"stepz": 3}}, "plan: a plan has no 'stepz', but steps, "),
        ({"plan": {"steps": "many"}}, "plan.steps: Input should be a valid integer"),
        ({"plan": {"steps": 0}}, "plan: steps must be positive, not 0"),
        ({"modle": "model"}, "modle: Extra inputs are not permitted"),
        ({"objective": {"name": "grpo"}}, "'grpo' found using 'name' does not match any of the expected tags: 'pre"),
        ({"backend": {"name": "torch", "zero_stage": 3}}, "backend.torch.zero_stage: Extra inputs"),
        ({"backend": {"name": "deepspeed", "zero_stage": 0, "offload_optimizer": True}}, "needs zero_stage 1, 2 or 3"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(RunRefused, match="correct the file") as refused:
        read_description(describe(folder, **changes))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "data"}, "holds no config.json"),
        ({"data": "model"}, "data.json is missing"),
        ({"objective": {"name": "sft"}}, "does not describe data of the kind 'examples'"),
        ({"epochs": 2}, "epochs is for examples"),
        ({"plan": {"steps": 10_000, "warmup_steps": 0}}, "enough for"),
        ({"plan": {"sequence_length": 65}}, "exceed the model's max_length of 64"),
        ({"plan": {"batch_rows": 6, "accumulation": 3}, "output": "model"}, "name another output folder"),
    ],
)
def test_what_cannot_run_is_refused_by_a_dry_run(folder: Path, changes: dict[str, Any], message: str) -> None:
    """Folders that do not fit each other or the plan cost no training time."""
    with pytest.raises(ValueError, match=message):
        check(read_description(describe(folder, **changes)))


def pairs(folder: Path) -> None:
    """24 pairs whose chosen document counts upwards and rejected one downwards, each ended by token 96."""
    rng = np.random.default_rng(1)
    rows = []
    for index in range(24):
        first, length = int(rng.integers(20, 60)), int(rng.integers(3, 12))
        sides = [[*(first + sign * np.arange(length)), 96] for sign in (1, -1)]
        rows.append((f"pair{index}", [(side, [False] + [True] * (len(side) - 1)) for side in sides]))
    save_examples(folder / "pairs", build_examples(rows, documents_per_example=2))


def test_every_objective_has_a_description(folder: Path) -> None:
    """Pairs train a reward model, which is saved as one and goes on from its own folder, and a DPO policy."""
    pairs(folder)
    plan = {"steps": 4, "batch_rows": 2, "accumulation": 1}
    settings = {"name": "reward", "reward_token_id": 96, "pad_id": 0}
    shared: dict[str, Any] = {"data": "pairs", "epochs": 4, "plan": plan}
    run(read_description(describe(folder, "reward", objective=settings, **shared)))
    scorer = load_reward_folder(folder / "reward" / "output")
    assert isinstance(scorer, RewardModel)
    again = describe(folder, "again", objective=settings, model="reward/output", **shared)
    assert run(read_description(again)).weights_changed
    report = run(read_description(describe(folder, "dpo", objective={"name": "dpo"}, **shared)))
    assert report.losses[0] == pytest.approx(np.log(2), rel=1e-5)
    with pytest.raises(RunRefused, match="2 documents per example, sft needs 1"):
        check(read_description(describe(folder, "sft", objective={"name": "sft"}, **shared)))
    with pytest.raises(RunRefused, match="is a reward model, dpo trains a decoder"):
        check(read_description(describe(folder, "no", objective={"name": "dpo"}, model="reward/output", **shared)))
    with pytest.raises(RunRefused, match=r"set objective\.pad_id"):
        check(read_description(describe(folder, "pad", objective=settings | {"pad_id": 96}, **shared)))


def test_other_data_is_not_resumed(folder: Path) -> None:
    """The digest covers the bytes of the data folder: an exchanged array is another run."""
    described = read_description(describe(folder))
    run(described)
    order = np.load(folder / "data" / "draw_order.npy")
    np.save(folder / "data" / "draw_order.npy", order[::-1])
    with pytest.raises(RuntimeError, match="data_digest"):
        run(described)


def test_metrics_of_steps_taken_again_are_not_doubled(tmp_path: Path) -> None:
    """A resume drops what was written after the state it goes on from, and the line that a kill cut off."""
    path = tmp_path / "metrics.jsonl"
    records = [StepRecord(step, 1.0, 1e-3, 1.0, 10, 5.0, {}, 1) for step in range(6)]
    first = MetricsFile(path)
    for record in records[:5]:
        first(record)
    with path.open("a") as file:
        file.write('{"step": 5, "lo')
    second = MetricsFile(path)
    for record in records[3:]:
        second(record)
    assert [line["step"] for line in read_metrics(path)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.slow
def test_the_command_says_what_is_wrong_in_one_line(folder: Path) -> None:
    """Exit code 1, the field and the remedy, no traceback; a dry run prints to stdout."""
    refused = alone(describe(folder, "wrong", plan={"stepz": 1}))
    told = alone(describe(folder), "--dry-run")
    _, error = refused.communicate()
    assert (refused.returncode, error.count("\n")) == (1, 1)
    assert error.startswith("error: ")
    assert "'stepz'" in error
    out, error = told.communicate()
    assert (told.returncode, error) == (0, "")
    assert "tokens       3,072" in out


@pytest.mark.slow
@pytest.mark.parametrize("backend", [{"name": "torch"}, {"name": "deepspeed", "zero_stage": 2}])
def test_two_processes_lose_nothing(folder: Path, backend: dict[str, Any]) -> None:
    """torchrun starts the command unchanged; losses are those of one process to 1e-5."""
    if backend["name"] == "deepspeed":
        pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install -e '.[dev]'")
    one = run(read_description(describe(folder, "one")))
    path = describe(folder, "two", backend=backend)
    process = start(*torchrun_command(path, 2, python=sys.executable))
    error = process.communicate()[1]
    assert process.returncode == 0, error
    assert read_report(folder / "two" / "output").losses == pytest.approx(one.losses, rel=1e-5)


@pytest.mark.slow
def test_a_second_writer_is_refused(folder: Path) -> None:
    """Two runs on one state folder would overwrite each other's states; the holder is named."""
    path = describe(folder, plan={"steps": 500})
    first = alone(path)
    try:
        wait_for(folder / "run/state/metrics.jsonl", 2, first)
        first.send_signal(signal.SIGSTOP)
        second = alone(path)
        assert f"process {first.pid} on" in second.communicate()[1]
        assert second.returncode == 1
    finally:
        first.kill()
        first.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_by_a_signal_it_saves_and_goes_on(folder: Path, number: int) -> None:
    """Exit code 143, the place of the state is told, and the finished run is bit-equal with an undisturbed one."""
    plan = {"steps": 200, "checkpoint_every": 150}
    path = describe(folder, "ended", plan=plan)
    process = alone(path)
    wait_for(folder / "ended/state/metrics.jsonl", 5, process)
    process.send_signal(number)
    error = process.communicate()[1]
    assert process.returncode == 143
    assert f"in {folder / 'ended/state'}; start it again" in error.splitlines()[-1]
    require_equal_to_undisturbed(folder, path, plan)


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(folder: Path) -> None:
    """kill -9 loses the steps since the last state and nothing else: the weights are bit-equal."""
    plan = {"steps": 200, "checkpoint_every": 20}
    path = describe(folder, "ended", plan=plan)
    process = alone(path)
    wait_for(folder / "ended/state/metrics.jsonl", 50, process)
    process.kill()
    process.communicate()
    require_equal_to_undisturbed(folder, path, plan)


def require_equal_to_undisturbed(folder: Path, ended: Path, plan: dict[str, Any]) -> None:
    described = read_description(ended)
    assert not described.output.exists()
    resumed = run(described)
    whole = run(read_description(describe(folder, "whole", plan=plan)))
    assert 0 < (resumed.resumed_from or 0) < 200
    assert resumed.losses == whole.losses
    assert [line["loss"] for line in read_metrics(described.state / "metrics.jsonl")] == whole.losses
    digests = {weights_digest(load_folder(folder / name / "output")) for name in ("ended", "whole")}
    assert len(digests) == 1


def test_every_field_is_described() -> None:
    """The schema is the reference of the file's format."""
    schema = RunDescription.model_json_schema()
    elsewhere = ("TrainingPlan", "RolloutPlan", "PPOConfig", "OutcomeLoss")
    ours = {name: part for name, part in schema["$defs"].items() if name not in elsewhere}
    for name, part in {"RunDescription": schema, **ours}.items():
        for field, about in part["properties"].items():
            assert about.get("description"), f"{name}.{field}"


@pytest.fixture
def config() -> DecoderConfig:
    """One layer: these tests start many processes."""
    return DecoderConfig(vocab_size=97, dim=32, n_layers=1, n_heads=4, n_kv_heads=2, ffn_dim=48, max_length=64)


def test_a_resident_process_group_is_not_left_behind(folder: Path) -> None:
    """DeepSpeed alone needs a group of one; none is left for the next run in this process."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install -e '.[dev]'")
    plain = run(read_description(describe(folder, "plain")))
    divided = run(read_description(describe(folder, "divided", backend={"name": "deepspeed"})))
    assert divided.losses == pytest.approx(plain.losses, rel=1e-5)
    assert not torch.distributed.is_initialized()
