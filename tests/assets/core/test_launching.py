"""What is trained on judged answers, in processes of its own, as in this one."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets.core.errors import InputError
from assets.core.launching import objective_settings, write_run
from assets.core.trainer import TrainerResource
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import TokenRewardModel, token_reward_from_decoder
from models.training.checkpoint import weights_digest
from models.training.objectives import Objective
from models.training.outcome_objective import PAPER_LOSS, outcome_objective
from models.training.run_description import Outcome, TokenReward, read_description
from models.training.token_reward import token_reward_objective
from models.training.trajectory_folder import load_trajectories
from tests.models.training.answers import PLAN, part

CONFIG = DecoderConfig(vocab_size=97, dim=32, n_layers=1, n_heads=4, n_kv_heads=2, ffn_dim=48, max_length=64)


def start_of(name: str) -> tuple[Decoder | TokenRewardModel, Objective]:
    """The start and the objective of a run of the policy, or of the token reward model."""
    policy = Decoder(CONFIG, seed=1)
    if name == "policy":
        return policy, outcome_objective(policy, PAPER_LOSS)
    return token_reward_from_decoder(policy), token_reward_objective()


def test_objectives_are_described() -> None:
    """With every number of the loss; one against another reference is refused, not trained against the start."""
    policy, objective = start_of("policy")
    assert objective_settings(objective, policy) == Outcome(loss=PAPER_LOSS)
    scorer, objective = start_of("scorer")
    assert objective_settings(objective, scorer) == TokenReward()
    with pytest.raises(InputError, match="cannot be described"):
        objective_settings(outcome_objective(Decoder(CONFIG, seed=2)), policy)


def test_a_part_brings_its_own_trajectories(tmp_path: Path) -> None:
    """The folder of a run keeps its start and gets the data of the next part."""
    policy, objective = start_of("policy")
    settings, trainer = objective_settings(objective, policy), TrainerResource(launcher="subprocess")
    for first, until in ((0, 2), (2, 6)):
        described = write_run(
            trainer, policy, part(first, until), PLAN, settings, tmp_path / "launch", data_digest="run", epochs=1,
            tokenizer_folder=None, until=until,
        )  # fmt: skip
        description = read_description(described)
        assert (description.until, description.data_digest) == (until, "run")
        assert load_trajectories(description.data).first_step == first


@pytest.mark.slow
@pytest.mark.parametrize("name", ["policy", "scorer"])
def test_launched_parts_are_those_of_this_process(name: str, tmp_path: Path) -> None:
    """Two parts, each in a process of its own: the weights that come back are bit-equal."""
    from assets.core.training import train_model

    found: dict[str, list[str]] = {}

    @dg.asset
    def trained() -> dg.MaterializeResult[None]:
        for launcher in ("in_process", "subprocess"):
            for first, until in ((0, 3), (3, 6)):
                model, objective = start_of(name)
                report = train_model(
                    TrainerResource(launcher=launcher), model, part(first, until), PLAN, objective=objective,
                    state_folder=tmp_path / launcher, data_digest="run", on_step=lambda record: None, until=until,
                )  # fmt: skip
                assert report.steps == until
                found.setdefault(launcher, []).append(weights_digest(model))
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([trained], instance=instance).success
    assert found["subprocess"] == found["in_process"]
