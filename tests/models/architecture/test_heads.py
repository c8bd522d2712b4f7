"""Reward models and critics."""

from dataclasses import replace

import pytest
import torch

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import (
    RewardModel,
    ValueModel,
    critic_from_reward,
    reward_from_decoder,
    reward_positions,
)

LENGTHS = (5, 12, 9)
TOKENS = torch.randint(0, 97, (1, sum(LENGTHS)), generator=torch.Generator().manual_seed(0))
POSITIONS = torch.cat([torch.arange(length) for length in LENGTHS])[None]
IDS = torch.repeat_interleave(torch.tensor([4, 1, 9]), torch.tensor(LENGTHS))[None]


def test_scores_are_the_heads_product(model: Decoder) -> None:
    """Every token's score is the head times the normalised state, in float32 also for bfloat16 weights."""
    reward = reward_from_decoder(model.to(torch.bfloat16), head_spread=1.0)
    scores = reward.scores(TOKENS, POSITIONS, IDS)
    states = model.hidden_states(TOKENS, POSITIONS, IDS).float()
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, (states * reward.head.weight.float()).sum(-1), atol=1e-5, rtol=1e-5)


def test_packed_scores_equal_unpacked(model: Decoder) -> None:
    """Packing changes no document's scores or values."""
    for scalar in (RewardModel(model).scores, ValueModel(model).values):
        packed = scalar(TOKENS, POSITIONS, IDS)[0].split(LENGTHS)
        for found, document in zip(packed, TOKENS.split(LENGTHS, dim=1), strict=True):
            torch.testing.assert_close(found, scalar(document)[0], atol=1e-5, rtol=1e-5)


def test_reward_positions_per_document() -> None:
    """The last reward token of each document in each row; ids may repeat across rows, a document may have none."""
    tokens = torch.tensor([[7, 1, 7, 7, 2, 3, 7], [1, 7, 2, 7, 1, 7, 1], [1, 2, 3, 4, 5, 6, 8]])
    ids = torch.tensor([[3, 3, 3, 0, 0, 5, 5], [3, 3, 3, 3, 3, 8, 8], [1, 1, 1, 1, 2, 2, 2]])
    assert reward_positions(tokens, ids, 7).nonzero().tolist() == [[0, 2], [0, 3], [0, 6], [1, 3], [1, 5]]
    assert reward_positions(tokens, None, 7).nonzero().tolist() == [[0, 6], [1, 5]]
    assert not reward_positions(tokens, ids, 99).any()


@pytest.mark.parametrize(("dim", "spread"), [(48, 0.1), (384, 0.1), (384, 0.5), (48, 0.0)])
def test_new_heads_start_inside_the_barrier(config: DecoderConfig, dim: int, spread: float) -> None:
    """Scores begin with the asked spread whatever the width: far inside (-5, 5), where the barrier has a gradient."""
    reward = RewardModel(Decoder(replace(config, dim=dim)), head_spread=spread, seed=1)
    with torch.inference_mode():
        spreads = [
            RewardModel(reward.decoder, spread, seed).scores(TOKENS).square().mean().sqrt() for seed in range(40)
        ]
    assert torch.stack(spreads).square().mean().sqrt().item() == pytest.approx(spread, rel=0.3)
    assert torch.stack(spreads).max() < 2


def test_heads_come_from_the_seed_alone(model: Decoder) -> None:
    """Equal seeds give equal heads whatever was drawn before, and building one draws nothing from the global state."""
    state = torch.get_rng_state()
    first = RewardModel(model, seed=5).head.weight
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(9)
    assert torch.equal(first, RewardModel(model, seed=5).head.weight)
    assert not torch.equal(first, RewardModel(model, seed=6).head.weight)


def test_reward_model_leaves_the_decoder_alone(model: Decoder) -> None:
    """The SFT model that a reward model starts from stays what it was, and trainable."""
    reward = reward_from_decoder(model)
    with torch.no_grad():
        for parameter in reward.parameters():
            parameter.add_(1.0)
    again = reward_from_decoder(model)
    for (name, changed), kept in zip(reward.decoder.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(changed, kept + 1.0, msg=name)
        assert kept.requires_grad, name
    assert torch.equal(again.decoder.norm.weight, model.norm.weight)


def test_critic_has_the_trunk_but_not_the_head(model: Decoder) -> None:
    """The critic has the reward model's states under a head of its own, and trains though that model is frozen."""
    reward = reward_from_decoder(model, head_spread=1.0, seed=1)
    reward.requires_grad_(False)
    critic = critic_from_reward(reward, seed=2)
    with torch.inference_mode():
        expected = reward.decoder.hidden_states(TOKENS)
        assert torch.equal(critic.decoder.hidden_states(TOKENS), expected)
    assert not torch.allclose(critic.head.weight, reward.head.weight)
    critic.values(TOKENS).sum().backward()
    for name, parameter in critic.named_parameters():
        assert (parameter.grad is None) == (name == "decoder.output.weight"), name
    assert all(parameter.grad is None for parameter in reward.parameters())


def test_tied_embeddings_keep_training(config: DecoderConfig) -> None:
    """Where output projection and embedding are one tensor it must not be frozen with the output."""
    reward = reward_from_decoder(Decoder(replace(config, tie_embeddings=True)))
    assert reward.decoder.output.weight is reward.decoder.tok_embeddings.weight
    assert reward.decoder.tok_embeddings.weight.requires_grad


def test_negative_spread_is_refused(model: Decoder) -> None:
    """A spread is a standard deviation."""
    with pytest.raises(ValueError, match="head_spread must be at least 0"):
        RewardModel(model, head_spread=-1.0)
