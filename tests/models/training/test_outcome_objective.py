"""The loss on judged answers, against a loop over trajectories and tokens."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.training import response_scores
from models.training.backend import TorchBackend, weighted
from models.training.checkpoint import weights_digest
from models.training.loop import train
from models.training.objectives import Objective
from models.training.outcome_objective import (
    GRPO_LOSS,
    PAPER_LOSS,
    REINFORCE_LOSS,
    REPO_LOSS,
    OutcomeLoss,
    outcome_objective,
)
from models.training.plan import TrainingFailed
from models.training.trajectories import Trajectory, TrajectoryBatch, TrajectorySource, trajectory_batch
from tests.models.training.answers import PLAN, draw

PRESETS = {"paper": PAPER_LOSS, "repo": REPO_LOSS, "reinforce": REINFORCE_LOSS, "grpo": GRPO_LOSS}


@pytest.fixture
def reference(config: DecoderConfig) -> Decoder:
    return Decoder(config, seed=8)


def logprobs_of(model: Decoder, trajectory: Trajectory) -> Tensor:
    """Log-probabilities of the response's tokens, from the whole logits of the trajectory alone."""
    tokens = torch.tensor([trajectory.prompt + trajectory.response])
    every = model(tokens)[0].log_softmax(-1)[:-1].gather(1, tokens[0, 1:, None])[:, 0]
    return every[len(trajectory.prompt) - 1 :]


def loss_by_hand(model: Decoder, reference: Decoder, trajectories: list[Trajectory], loss: OutcomeLoss) -> Tensor:
    """The formula, trajectory by trajectory and token by token."""
    sizes = {right: sum(len(each.response) for each in trajectories if each.right is right) for right in (True, False)}
    total = sum(sizes.values())
    found = torch.zeros(())
    for each in trajectories:
        ours = logprobs_of(model, each)
        base = logprobs_of(reference, each).detach()
        size = sizes[each.right] if loss.normalise == "by_sign" else total
        for place, logprob in enumerate(ours):
            weight = each.weight * each.token_weights[place]
            if each.right:
                found = found - weight * logprob / size
            elif loss.negative_form == "log":
                found = found + loss.negative_coefficient * weight * (logprob - each.logprobs[place]) / size
            else:
                found = found + loss.negative_coefficient * weight * (logprob - each.logprobs[place]).exp() / size
            delta = base[place] - logprob
            found = found + loss.kl_coefficient * (delta.exp() - delta - 1) / total
    return found


def loss_of(objective: Objective, model: Decoder, batch: TrajectoryBatch) -> Tensor:
    found = weighted(objective, objective.sums(model, batch), objective.counts(batch))
    assert found is not None
    return found


def gradients(model: Decoder) -> list[Tensor]:
    found = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    return found


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("right", [None, True, False])
def test_loss_and_gradient_are_the_formulas(model: Decoder, reference: Decoder, name: str, right: bool | None) -> None:
    """For every preset, on padded rows of mixed outcomes, and where all answers are right, or wrong."""
    trajectories, loss = draw(7, right=right), PRESETS[name]
    found = loss_of(outcome_objective(reference, loss), model, trajectory_batch(trajectories))
    found.backward()
    ours = gradients(model)
    expected = loss_by_hand(model, reference, trajectories, loss)
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    for one, other in zip(ours, gradients(model), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("parts", [2, 3, 7, 16])
def test_micro_batches_change_no_gradient(model: Decoder, reference: Decoder, parts: int) -> None:
    """Parts of unequal rows, even empty ones, add up to the whole batch: loss, reported means and gradient."""
    objective = outcome_objective(reference, PAPER_LOSS)
    batch = trajectory_batch(draw(11))
    backend, counts = TorchBackend(model, PLAN), objective.counts(batch)
    whole = backend.accumulate(objective, [batch], counts)
    expected = gradients(model)
    split = backend.accumulate(objective, batch.split(parts), counts)
    assert split == pytest.approx(whole, rel=1e-4)
    for one, other in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_what_is_reported(model: Decoder, reference: Decoder) -> None:
    """Every mean against a plain loop over the trajectories."""
    trajectories = draw(6)
    objective, batch = outcome_objective(reference), trajectory_batch(trajectories)
    means = TorchBackend(model, PLAN).accumulate(objective, [batch], objective.counts(batch))
    tokens = sum(len(each.response) for each in trajectories)
    gaps = torch.cat([(logprobs_of(model, each) - torch.tensor(each.logprobs)).abs() for each in trajectories])
    assert means["logprob_gap"] == pytest.approx(gaps.mean().item(), rel=1e-4)
    assert means["large_gap"] == pytest.approx((gaps > 0.05).float().mean().item())
    assert means["right"] == 0.5
    assert means["response_length"] == pytest.approx(tokens / 6)
    for name, right in (("weight_right", True), ("weight_wrong", False)):
        weights = [weight for each in trajectories if each.right is right for weight in each.token_weights]
        assert means[name] == pytest.approx(sum(weights) / len(weights), rel=1e-5)
    entropy = 0.0
    for each in trajectories:
        logprobs = model(torch.tensor([each.prompt + each.response]))[0].log_softmax(-1)[len(each.prompt) - 1 : -1]
        entropy -= (logprobs.exp() * logprobs).sum().item()
    assert means["entropy"] == pytest.approx(entropy / tokens, rel=1e-4)


def test_many_logits_are_computed_in_chunks(
    model: Decoder, reference: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the memory for all logits the same loss comes from the same numbers."""
    objective, batch = outcome_objective(reference), trajectory_batch(draw(5))
    written_out = loss_of(objective, model, batch)
    monkeypatch.setattr(response_scores, "WRITTEN_OUT", 0)
    torch.testing.assert_close(loss_of(objective, model, batch), written_out, rtol=1e-5, atol=1e-6)


def test_the_start_is_its_own_reference(model: Decoder) -> None:
    """Before the first update the KL term is 0 with no gradient, and training moves neither the reference nor it."""
    objective, batch = outcome_objective(model), trajectory_batch(draw(4))
    before = objective.identity["reference"]
    kl = objective.sums(model, batch)["kl"]
    assert kl.item() == pytest.approx(0, abs=1e-6)
    kl.backward()
    assert max(gradient.abs().max() for gradient in gradients(model)) < 1e-5
    with torch.no_grad():
        model.norm.weight.mul_(2)
    assert objective.sums(model, batch)["kl"] > 0.01
    assert before != weights_digest(model)


def test_answers_grow_likelier_and_unlikelier(config: DecoderConfig, tmp_path: Path) -> None:
    """Thirty updates on the same answers: right ones gain, wrong ones lose."""
    start, policy, trajectories = Decoder(config), Decoder(config), draw(8)
    plan = replace(PLAN, steps=30, peak_lr=1e-3)
    train(policy, TrajectorySource([trajectories] * 30), plan, tmp_path, "data", objective=outcome_objective(start))
    for each in trajectories:
        gained = (logprobs_of(policy, each) - logprobs_of(start, each)).sum().item()
        assert (gained > 0) == each.right


def test_nothing_to_train_is_loud(config: DecoderConfig, tmp_path: Path) -> None:
    """All token weights 0, as a reward model with a zero head gives them, must not pass for training."""
    silent = [replace(each, token_weights=(0.0,) * len(each.response)) for each in draw(4)]
    start = Decoder(config)
    with pytest.raises(TrainingFailed, match=r"every weight of the 4 trajectories is 0.*reward model for longer"):
        train(Decoder(config), TrajectorySource([silent]), replace(PLAN, steps=1, warmup_steps=0), tmp_path, "data",
              objective=outcome_objective(start))  # fmt: skip


def test_every_field_counts_in_the_identity(model: Decoder) -> None:
    """A run does not go on with another loss."""
    for field in asdict(REPO_LOSS):
        assert field in outcome_objective(model).identity
    with pytest.raises(ValueError, match="kl_coefficient must be finite"):
        OutcomeLoss(kl_coefficient=-1)
    with pytest.raises(ValueError, match="negative_form must be one of log, ratio"):
        OutcomeLoss(negative_form="clip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="normalise must be one of"):
        OutcomeLoss(normalise="none")  # type: ignore[arg-type]
