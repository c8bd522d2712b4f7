"""A reward model as a Hugging Face folder of the type `LlamaForSequenceClassification`."""

from pathlib import Path

import torch

from models.architecture.decoder import Decoder
from models.architecture.folder import (
    CONFIG_FILE,
    decoder_config,
    read_settings,
    read_weights,
    special_ids,
    write_folder,
    write_weights,
)
from models.architecture.heads import RewardModel
from models.architecture.huggingface import from_llama, llama_settings, to_llama

HEAD = "score.weight"


def save_reward_folder(
    model: RewardModel,
    folder: Path,
    tokenizer_folder: Path | None,
    *,
    reward_token_id: int,
    pad_id: int | None = None,
) -> None:
    """Writes what `save_folder` does, with the head as `score.weight` in place of the output projection.

    transformers scores a row at its last token that is not padding, so rows must end with the reward token, then
    padding; `pad_id` is by default the tokenizer's. The reward token's id is kept in config.json, where
    `read_reward_token_id` finds it. Raises ValueError when there is no padding token, or it is the reward token.
    """
    ids = special_ids(tokenizer_folder, model.decoder.config.vocab_size) if tokenizer_folder else {}
    ids = ids if pad_id is None else ids | {"pad_token_id": pad_id}
    if ids.get("pad_token_id") is None:
        raise ValueError("a reward model's folder needs a padding token: pass pad_id or a tokenizer that has one")
    if ids["pad_token_id"] == reward_token_id:
        raise ValueError(
            f"token {reward_token_id} is both padding and the reward token, so that transformers would skip the one "
            "that is scored; pad with another"
        )
    settings = llama_settings(model.decoder) | {
        "architectures": ["LlamaForSequenceClassification"],
        "num_labels": 1,
        "id2label": {"0": "reward"},
        "label2id": {"reward": 0},
        "reward_token_id": reward_token_id,
    }
    weights = to_llama(model.decoder)
    weights.pop("lm_head.weight", None)
    write_folder(folder, settings, tokenizer_folder, ids)
    write_weights(weights | {HEAD: model.head.weight}, folder)


def load_reward_folder(folder: Path) -> RewardModel:
    """The reward model in such a folder, in the dtype of its weights, on the CPU.

    The output projection, which no reward model reads, is zero unless it is also the embedding. Raises ValueError for
    a configuration this decoder does not compute, or a head to more than one number.
    """
    config = decoder_config(read_settings(folder), folder / CONFIG_FILE, "llama")
    weights = read_weights(folder)
    if HEAD not in weights or weights[HEAD].shape != (1, config.dim):
        shape = tuple(weights[HEAD].shape) if HEAD in weights else "missing"
        raise ValueError(f"{folder}: {HEAD} must be (1, {config.dim}), but is {shape}: this is no reward model")
    embeddings = weights["model.embed_tokens.weight"]
    decoder = Decoder(config).to(embeddings.dtype)
    decoder.load_state_dict(from_llama({"lm_head.weight": torch.zeros_like(embeddings)} | weights, config))
    model = RewardModel(decoder, head_spread=0.0)
    with torch.no_grad():
        model.head.weight.copy_(weights[HEAD])
    return model


def read_reward_token_id(folder: Path) -> int:
    """The id of the token at which the folder's reward model scores. Raises ValueError when it was not kept."""
    found = read_settings(folder).get("reward_token_id")
    if not isinstance(found, int):
        raise ValueError(f"{folder / CONFIG_FILE}: reward_token_id is {found!r}; save it with save_reward_folder")
    return found
