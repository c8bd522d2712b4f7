"""DeepSpeed on two processes, CPU and gloo, against plain torch on one."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.architecture.decoder import Decoder
from models.architecture.huggingface import load_folder
from models.training.checkpoint import weights_digest
from models.training.deepspeed_backend import DeepSpeedSettings, deepspeed_config
from models.training.loop import train
from models.training.plan import StepRecord
from tests.models.training.deepspeed_runs import CONFIG, PLAN, RUNS, stream

ROOT = Path(__file__).parents[3]


class Killed(BaseException):
    """Stands for a kill between two steps."""


def die(record: StepRecord) -> None:
    if record.step == 7:
        raise Killed


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two processes train with every setting, and go on with what one process left after step 6."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install -e '.[dev]'")
    if shutil.which("g++") is None:
        pytest.skip("DeepSpeed builds an extension at its first start: install g++")
    folder = tmp_path_factory.mktemp("deepspeed")
    with pytest.raises(Killed):
        train(Decoder(CONFIG), stream(), PLAN, folder / "one_process", "data", die)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*launch, "-m", "tests.models.training.deepspeed_runs", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found | {"folder": folder}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process on plain torch, in both dtypes."""
    found = {}
    for dtype in ("float32", "bfloat16"):
        records: list[StepRecord] = []
        model = Decoder(CONFIG)
        folder = tmp_path_factory.mktemp(dtype)
        report = train(model, stream(), replace(PLAN, dtype=dtype), folder, "data", records.append)
        norms = [record.grad_norm for record in records]
        found[dtype] = {"losses": report.losses, "norms": norms, "model": model}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_losses_equal_one_process_of_torch(results: dict[str, Any], plain: dict[str, Any], name: str) -> None:
    """Every stage follows plain torch, clipping included: to 1e-5 in float32, to 3e-3 in bfloat16."""
    dtype = RUNS[name][2]
    tolerance = {"float32": 1e-5, "bfloat16": 3e-3}[dtype]
    assert results[name]["losses"] == pytest.approx(plain[dtype]["losses"], rel=tolerance)
    assert results[name]["norms"] == pytest.approx(plain[dtype]["norms"], rel=30 * tolerance)
    assert max(plain[dtype]["norms"]) > PLAN.clip_norm


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_state_of_one_process_resumes_on_two(results: dict[str, Any], plain: dict[str, Any], stage: int) -> None:
    """Six steps on plain torch and six on two DeepSpeed processes are twelve steps."""
    resumed = results[f"resumed_on_zero{stage}"]
    assert resumed["resumed_from"] == 6
    assert resumed["losses"] == pytest.approx(plain["float32"]["losses"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero1", "zero3", "zero3_offload"])
def test_a_state_of_two_processes_resumes_on_one(results: dict[str, Any], plain: dict[str, Any], name: str) -> None:
    """What DeepSpeed saved at step 6 is whole: plain torch goes on from it."""
    folder: Path = results["folder"] / name
    late = folder / "step-00000012"
    if late.exists():
        late.rename(folder / "done")
    report = train(Decoder(CONFIG), stream(), PLAN, folder, "data")
    assert report.resumed_from == 6
    assert report.losses == pytest.approx(plain["float32"]["losses"], rel=1e-5)


@pytest.mark.slow
def test_gathered_weights_are_exported(results: dict[str, Any], plain: dict[str, Any]) -> None:
    """The Hugging Face folder written after ZeRO 3 holds the whole trained model."""
    exported = load_folder(results["folder"] / "exported")
    assert weights_digest(exported) == results["zero3"]["digest"]
    for one, other in zip(exported.parameters(), plain["float32"]["model"].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-2)


def test_the_configuration_follows_the_plan() -> None:
    """Batch, accumulation, clipping and dtype are the plan's, for any number of processes."""
    config = deepspeed_config(replace(PLAN, dtype="bfloat16"), DeepSpeedSettings(3, True), world_size=4)
    assert (config["train_batch_size"], config["train_micro_batch_size_per_gpu"]) == (8, 1)
    assert (config["gradient_accumulation_steps"], config["gradient_clipping"]) == (2, 0.5)
    assert config["bf16"] == {"enabled": True}
    assert config["zero_optimization"] == {"stage": 3, "offload_optimizer": {"device": "cpu", "pin_memory": False}}


def test_what_deepspeed_cannot_do_is_refused_with_a_remedy() -> None:
    """Rows that do not divide, an unknown stage, and settings without effect are errors before the start."""
    with pytest.raises(ValueError, match="multiple of processes x accumulation, 3 x 2"):
        deepspeed_config(PLAN, DeepSpeedSettings(1), world_size=3)
    with pytest.raises(ValueError, match="use zero_stage 1"):
        deepspeed_config(replace(PLAN, dtype="bfloat16"), DeepSpeedSettings(0), world_size=2)
    with pytest.raises(ValueError, match="0, 1, 2 or 3, not 4"):
        DeepSpeedSettings(4)
    with pytest.raises(ValueError, match="needs zero_stage 1, 2 or 3"):
        DeepSpeedSettings(0, offload_optimizer=True)
