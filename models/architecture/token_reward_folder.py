"""A token reward model as a Hugging Face folder of the type `LlamaForTokenClassification`."""

from pathlib import Path

import torch

from models.architecture.folder import special_ids, write_folder, write_weights
from models.architecture.heads import TokenRewardModel
from models.architecture.huggingface import llama_settings, to_llama
from models.architecture.reward_folder import HEAD, load_reward_folder

TOKEN_REWARD_TYPE = "LlamaForTokenClassification"


def save_token_reward_folder(model: TokenRewardModel, folder: Path, tokenizer_folder: Path | None) -> None:
    """Writes what `save_folder` does, with the head as `score.weight` in place of the output projection."""
    settings = llama_settings(model.decoder) | {
        "architectures": [TOKEN_REWARD_TYPE],
        "num_labels": 1,
        "id2label": {"0": "reward"},
        "label2id": {"reward": 0},
    }
    ids = special_ids(tokenizer_folder, model.decoder.config.vocab_size) if tokenizer_folder else {}
    weights = to_llama(model.decoder)
    weights.pop("lm_head.weight", None)
    write_folder(folder, settings, tokenizer_folder, ids)
    # transformers' head has a bias, ours none.
    write_weights(weights | {HEAD: model.head.weight, "score.bias": torch.zeros_like(model.head.weight[0, :1])}, folder)


def load_token_reward_folder(folder: Path) -> TokenRewardModel:
    """The model in such a folder, in the dtype of its weights, on the CPU; raises as `load_reward_folder`."""
    scorer = load_reward_folder(folder)
    model = TokenRewardModel(scorer.decoder, head_spread=0.0)
    model.head = scorer.head
    return model
