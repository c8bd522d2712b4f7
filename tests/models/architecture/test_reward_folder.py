"""Reward models that others can load."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import RewardModel, reward_from_decoder, reward_positions
from models.architecture.huggingface import save_folder
from models.architecture.reward_folder import load_reward_folder, read_reward_token_id, save_reward_folder

REWARD, PAD = 96, 0
# Two rows that end with the reward token, the second padded to the length of the first.
TOKENS = torch.tensor([[5, 8, 96, 13, 21, 34, 96], [3, 1, 4, 1, 96, 0, 0]])


@pytest.fixture
def reward(model: Decoder) -> RewardModel:
    return reward_from_decoder(model, head_spread=1.0, seed=2)


@pytest.mark.parametrize("tie_embeddings", [False, True])
def test_transformers_gives_the_same_scores(config: DecoderConfig, tmp_path: Path, tie_embeddings: bool) -> None:
    """The folder loads unchanged as a sequence classifier and scores a padded batch as we do, to 1e-5."""
    from transformers import AutoModelForSequenceClassification, LlamaForSequenceClassification

    decoder = Decoder(replace(config, tie_embeddings=tie_embeddings), seed=3)
    reward = RewardModel(decoder, head_spread=1.0)
    save_reward_folder(reward, tmp_path, None, reward_token_id=REWARD, pad_id=PAD)
    theirs, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert isinstance(theirs, LlamaForSequenceClassification)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.inference_mode():
        ours = reward.scores(TOKENS)[reward_positions(TOKENS, None, REWARD)]
        found = theirs(TOKENS, attention_mask=(TOKENS != PAD).long()).logits
    assert found.shape == (2, 1)
    torch.testing.assert_close(found[:, 0], ours, atol=1e-5, rtol=0)
    assert ours.std() > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folder_round_trip(reward: RewardModel, tmp_path: Path, dtype: torch.dtype) -> None:
    """What is loaded scores bit for bit what was saved, and still knows its reward token."""
    reward.to(dtype)
    save_reward_folder(reward, tmp_path, None, reward_token_id=REWARD, pad_id=PAD)
    loaded = load_reward_folder(tmp_path)
    assert loaded.decoder.config == reward.decoder.config
    assert loaded.head.weight.dtype == dtype
    with torch.inference_mode():
        assert torch.equal(loaded.scores(TOKENS), reward.scores(TOKENS))
    assert not loaded.decoder.output.weight.any()
    assert read_reward_token_id(tmp_path) == REWARD


def test_padding_must_be_known_and_differ(reward: RewardModel, tmp_path: Path) -> None:
    """transformers takes the last token that is no padding: without one, or with the reward token, it would err."""
    with pytest.raises(ValueError, match="needs a padding token"):
        save_reward_folder(reward, tmp_path / "a", None, reward_token_id=REWARD)
    with pytest.raises(ValueError, match="both padding and the reward token"):
        save_reward_folder(reward, tmp_path / "b", None, reward_token_id=REWARD, pad_id=REWARD)
    assert not list(tmp_path.iterdir())


def test_a_language_model_is_no_reward_model(model: Decoder, tmp_path: Path) -> None:
    """A folder without a head is refused, not given a random one."""
    save_folder(model, tmp_path, None)
    with pytest.raises(ValueError, match="no reward model"):
        load_reward_folder(tmp_path)
    with pytest.raises(ValueError, match="reward_token_id is None"):
        read_reward_token_id(tmp_path)
