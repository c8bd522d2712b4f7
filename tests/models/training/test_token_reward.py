"""The token reward model: its loss, its scores, its folder."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import TokenRewardModel, token_reward_from_decoder
from models.architecture.token_reward_folder import load_token_reward_folder, save_token_reward_folder
from models.training.backend import TorchBackend
from models.training.checkpoint import weights_digest
from models.training.loop import train
from models.training.token_reward import token_reward_objective, token_scores
from models.training.trajectories import TrajectorySource, trajectory_batch
from tests.models.training.answers import PLAN, draw


@pytest.fixture
def scorer(model: Decoder) -> TokenRewardModel:
    """A head that is not zero, so that scores differ."""
    return TokenRewardModel(model, head_spread=1.0, seed=2)


def test_loss_is_equation_12(scorer: TokenRewardModel) -> None:
    """Cross-entropy of the mean score of the response alone, averaged over trajectories, in parts of any number."""
    trajectories = draw(7)
    expected, correct = 0.0, 0
    for each in trajectories:
        scores = scorer(torch.tensor([each.prompt + each.response]))[0, len(each.prompt) :]
        mean = scores.mean().item()
        expected -= math.log(1 / (1 + math.exp(-mean))) if each.right else math.log(1 - 1 / (1 + math.exp(-mean)))
        correct += (mean > 0) == each.right
    objective, batch = token_reward_objective(), trajectory_batch(trajectories)
    backend, counts = TorchBackend(scorer, PLAN), objective.counts(batch)
    for parts in (1, 3, 9):
        means = backend.accumulate(objective, batch.split(parts), counts)
        assert means["loss"] == pytest.approx(expected / 7, rel=1e-4)
        assert means["accuracy"] == pytest.approx(correct / 7)
        assert means["right"] == pytest.approx(3 / 7)


def test_scores_are_those_of_each_alone(scorer: TokenRewardModel) -> None:
    """One score per response token, in the order asked, whatever else is in the batch."""
    trajectories = draw(9)
    for rows in (2, 64):
        for each, found in zip(trajectories, token_scores(scorer, trajectories, rows), strict=True):
            alone = scorer(torch.tensor([each.prompt + each.response]))[0, len(each.prompt) :]
            torch.testing.assert_close(found, alone.detach(), atol=1e-4, rtol=1e-4)
    assert token_scores(scorer, []) == []


def test_a_new_model_says_nothing_and_learns(config: DecoderConfig, tmp_path: Path) -> None:
    """From a zero head (loss log 2, no weight for any token) to telling the trained answers apart."""
    policy = Decoder(config)
    before = weights_digest(policy)
    scorer, trajectories = token_reward_from_decoder(policy), draw(8)
    assert not torch.cat(token_scores(scorer, trajectories)).any()
    plan = replace(PLAN, steps=40)
    objective = token_reward_objective()
    report = train(scorer, TrajectorySource([trajectories] * 40), plan, tmp_path, "data", objective=objective)
    assert report.losses[0] == pytest.approx(math.log(2))
    assert report.losses[-1] < 0.3
    assert weights_digest(policy) == before


def test_the_folder_loads_here_and_in_transformers(scorer: TokenRewardModel, tmp_path: Path) -> None:
    """The same scores of every token, in LlamaForTokenClassification too."""
    from transformers import AutoModelForTokenClassification

    save_token_reward_folder(scorer, tmp_path / "folder", None)
    tokens = torch.tensor([[5, 9, 40, 3, 77]])
    expected = scorer(tokens).detach()
    torch.testing.assert_close(load_token_reward_folder(tmp_path / "folder")(tokens), expected)
    theirs = AutoModelForTokenClassification.from_pretrained(tmp_path / "folder").eval()
    torch.testing.assert_close(theirs(tokens).logits[..., 0], expected, atol=1e-4, rtol=1e-4)
