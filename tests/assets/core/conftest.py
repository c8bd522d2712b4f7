"""One MLflow store for the session (making it takes seconds), a tiny lake and a tiny Hugging Face model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.tracking import Tracking


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """The folder has a space in its name, as users' folders do."""
    home = tmp_path_factory.mktemp("mlflow home")
    store = Tracking(
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}", artifacts=str(home / "artifacts"), system_metrics_seconds=0.05
    )
    store.experiment_id(store.client())
    return store


@pytest.fixture
def plan(tmp_path: Path) -> Dataset:
    """A partitioned dataset with a list column, in two parts."""

    def fill(out: DatasetWriter) -> None:
        for part in ("uniform", "clip"):
            out.write(pl.DataFrame({"id": [f"{part}{row}" for row in range(3)], "parents": [["a"]] * 3}), part=part)

    return Lake(str(tmp_path / "lake"), tmp_path / "work").build(
        key="toy/plan",
        partition="7",
        kind="dataset",
        fingerprint="f" * 64,
        ingredients={},
        fill=fill,
        keeps_ledger=False,
    )


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A Hugging Face folder of a random Llama; each seed has other weights."""

    def make(seed: int) -> Path:
        import torch
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        folder = tmp_path_factory.mktemp("model")
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(["<s>", "</s>", *letters])}, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
        torch.manual_seed(seed)
        shape = LlamaConfig(
            vocab_size=258, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=64, bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
        LlamaForCausalLM(shape).save_pretrained(folder)
        return folder

    return make
