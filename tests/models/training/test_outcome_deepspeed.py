"""Judged answers on two DeepSpeed processes, in two parts, against plain torch on one at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.architecture.decoder import Decoder
from models.architecture.heads import token_reward_from_decoder
from models.training.loop import train
from models.training.outcome_objective import outcome_objective
from models.training.token_reward import token_reward_objective
from tests.models.training.answers import PLAN, part
from tests.models.training.deepspeed_runs import CONFIG
from tests.models.training.outcome_deepspeed_runs import STAGES

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """Losses of every stage, policy and token reward model."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install -e '.[dev]'")
    if shutil.which("g++") is None:
        pytest.skip("DeepSpeed builds an extension at its first start: install g++")
    folder = tmp_path_factory.mktemp("deepspeed")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "tests.models.training.outcome_deepspeed_runs", str(folder)),
        ],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_losses_equal_one_process_of_torch(results: dict[str, list[float]], stage: int, tmp_path: Path) -> None:
    """To 1e-5 at every stage, though steps have 1 to 7 answers, and a process none at times."""
    objective = outcome_objective(Decoder(CONFIG))
    report = train(Decoder(CONFIG), part(0, 6), PLAN, tmp_path / "policy", "run", objective=objective)
    assert results[f"outcome{stage}"] == pytest.approx(report.losses, rel=1e-5)
    scorer, objective = token_reward_from_decoder(Decoder(CONFIG)), token_reward_objective()
    report = train(scorer, part(0, 6), PLAN, tmp_path / "scorer", "run", objective=objective)
    assert results[f"scorer{stage}"] == pytest.approx(report.losses, rel=1e-5)
