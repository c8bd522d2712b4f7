"""Described runs on judged answers: in parts, as a token reward model, under torchrun, refused."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import token_reward_from_decoder
from models.architecture.huggingface import load_folder, save_folder
from models.architecture.token_reward_folder import load_token_reward_folder, save_token_reward_folder
from models.training.checkpoint import weights_digest
from models.training.launch import torchrun_command
from models.training.loop import train
from models.training.outcome_objective import PAPER_LOSS, outcome_objective
from models.training.run import check, read_report, run
from models.training.run_description import RunDescription, RunRefused, read_description
from models.training.token_reward import token_reward_objective
from models.training.trajectory_folder import save_trajectories
from tests.models.training.answers import PLAN, part
from tests.models.training.test_run import start

OUTCOME = {"name": "outcome", "loss": {"negative_form": "log", "normalise": "together"}}


@pytest.fixture
def folder(tmp_path: Path, config: DecoderConfig) -> Path:
    save_folder(Decoder(config), tmp_path / "model", None)
    return tmp_path


def describe(folder: Path, first: int, until: int, **changes: Any) -> RunDescription:
    """A part of a run, with the trajectories of its steps, of which there are 6, in the data folder."""
    shutil.rmtree(folder / "data", ignore_errors=True)
    save_trajectories(folder / "data", part(first, until))
    content = {
        "model": "model", "data": "data", "objective": OUTCOME, "plan": PLAN.identity(), "output": "output",
        "state": "state", "until": until, "data_digest": "the run",
    }  # fmt: skip
    path = folder / "run.json"
    path.write_text(json.dumps(content | changes))
    return read_description(path)


def test_described_parts_are_the_loop(folder: Path) -> None:
    """Two parts from disk, with the start as reference, end with the weights of six steps in this process."""
    model = load_folder(folder / "model")
    objective = outcome_objective(load_folder(folder / "model"), PAPER_LOSS)
    expected = train(model, part(0, 6), PLAN, folder / "else", "data", objective=objective)
    assert run(describe(folder, 0, 3)).losses == expected.losses[:3]
    described = describe(folder, 3, 6)
    assert check(described).resumes_from == 3
    assert run(described).losses == expected.losses
    assert weights_digest(load_folder(folder / "output")) == weights_digest(model)
    assert read_report(folder / "output").steps == 6


def test_a_described_token_reward_model(folder: Path, config: DecoderConfig) -> None:
    """From a policy's folder with a zero head; what it leaves can be a start again."""
    scorer = token_reward_from_decoder(load_folder(folder / "model"))
    expected = train(scorer, part(0, 6), PLAN, folder / "else", "data", objective=token_reward_objective())
    assert run(describe(folder, 0, 6, objective={"name": "token_reward"})).losses == expected.losses
    assert weights_digest(load_token_reward_folder(folder / "output").decoder) == weights_digest(scorer.decoder)
    again = describe(folder, 0, 6, objective={"name": "token_reward"}, model="output", output="next", state="other")
    assert run(again).losses[0] < expected.losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("objective", [OUTCOME, {"name": "token_reward"}])
def test_two_processes_share_every_update(folder: Path, objective: dict[str, Any]) -> None:
    """Under torchrun, though an update may have fewer answers than there are processes."""
    plan = PLAN.identity() | {"accumulation": 2}
    alone = run(describe(folder, 0, 6, objective=objective, plan=plan, output="alone", state="alone-state"))
    describe(folder, 0, 6, objective=objective, plan=plan)
    process = start(*torchrun_command(folder / "run.json", 2, python=sys.executable))
    assert process.wait() == 0, process.communicate()[1]
    assert read_report(folder / "output").losses == pytest.approx(alone.losses, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 2}, "epochs is for examples"),
        ({"model": "scorer"}, "is a reward model, outcome trains a decoder"),
        ({"until": 7}, "from 1 to the plan's 6, not 7"),
        ({"until": 8, "plan": PLAN.identity() | {"steps": 9}}, "too few for 8 steps"),
        ({"objective": {"name": "sft"}}, "does not describe data of the kind 'examples'"),
        ({"objective": {"name": "outcome", "loss": {"eta": 1}}}, "an outcome loss has no 'eta'"),
    ],
)
def test_what_cannot_run_is_refused(folder: Path, config: DecoderConfig, changes: dict[str, Any], message: str) -> None:
    """Before any training, by a dry run."""
    save_token_reward_folder(token_reward_from_decoder(Decoder(config)), folder / "scorer", None)
    with pytest.raises((RunRefused, ValueError), match=message):
        check(describe(folder, 0, **{"until": 3, **changes}))
