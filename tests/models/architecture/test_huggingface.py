"""Checkpoints that others can load."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.huggingface import load_folder, save_folder


@pytest.mark.parametrize(
    ("n_kv_heads", "tie_embeddings", "rope_base"),
    [(8, False, 10_000.0), (4, False, 50_000.0), (2, False, 1_000_000.0), (4, True, 123.0), (1, True, 50_000.0)],
)
def test_transformers_computes_the_same_logits(
    config: DecoderConfig, tmp_path: Path, n_kv_heads: int, tie_embeddings: bool, rope_base: float
) -> None:
    """The folder loads with no remote code and gives our logits to 1e-5 in float32, however queries are grouped."""
    from transformers import AutoModelForCausalLM

    shape = replace(config, dim=64, n_heads=8, n_kv_heads=n_kv_heads, tie_embeddings=tie_embeddings)
    decoder = Decoder(replace(shape, rope_base=rope_base, norm_eps=1e-3), seed=1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(2.0)
    save_folder(decoder, tmp_path / "checkpoint", None)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint", trust_remote_code=False)
    assert theirs.dtype == torch.float32
    tokens = torch.randint(0, 97, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = decoder(tokens)
        torch.testing.assert_close(ours, theirs(tokens).logits, atol=1e-5, rtol=0)
    assert ours.std() > 0.1


@pytest.mark.parametrize("max_shard_size", ["20KB", "10MB"])
def test_folder_in_shards_loads(tmp_path: Path, model: Decoder, max_shard_size: str) -> None:
    """What transformers writes in several files with an index is read as from one."""
    from transformers import AutoModelForCausalLM

    save_folder(model, tmp_path / "one", None)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "one")
    theirs.save_pretrained(tmp_path / "again", max_shard_size=max_shard_size)
    assert (tmp_path / "again/model.safetensors.index.json").exists() == (max_shard_size == "20KB")
    loaded = load_folder(tmp_path / "again")
    for (name, saved), found in zip(model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(saved, found), name


@pytest.mark.parametrize("n_kv_heads", [6, 3, 2])
def test_transformers_generates_our_greedy_tokens(
    config: DecoderConfig, tmp_path: Path, tokenizer_folder: Path, n_kv_heads: int
) -> None:
    """Greedy decoding with their cache gives the tokens our logits name, and stops at the tokenizer's </s>."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = Decoder(replace(config, n_kv_heads=n_kv_heads), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            # Fresh weights give nearly equal logits, whose order rounding would decide.
            parameter.mul_(5.0 if parameter.ndim > 1 else 1.0)
    save_folder(model, tmp_path / "checkpoint", tokenizer_folder)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    tokens = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")("<s> w7 w9", return_tensors="pt")["input_ids"]
    generated = theirs.generate(tokens, max_new_tokens=20, do_sample=False)
    assert tokens.tolist() == [[1, 10, 12]]
    for _ in range(20):
        with torch.inference_mode():
            tokens = torch.cat((tokens, model(tokens)[:, -1:].argmax(-1)), dim=1)
        if tokens[0, -1] == 2:
            break
    assert generated.tolist() == tokens.tolist()
    assert theirs.generation_config.eos_token_id == 2


def test_tokenizer_and_template_travel_along(model: Decoder, tmp_path: Path, tokenizer_folder: Path) -> None:
    """A checkpoint carries the tokenizer, its chat template and its special ids: serving needs no other folder."""
    from transformers import AutoTokenizer

    save_folder(model, tmp_path / "checkpoint", tokenizer_folder)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(tokenizer_folder).chat_template
    config = json.loads((tmp_path / "checkpoint/config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (1, 2, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folder_round_trip(model: Decoder, tmp_path: Path, dtype: torch.dtype) -> None:
    """What is loaded is what was saved, bit for bit, shape and dtype included."""
    model.to(dtype)
    save_folder(model, tmp_path, None)
    loaded = load_folder(tmp_path)
    assert loaded.config == model.config
    for (name, saved), found in zip(model.named_parameters(), loaded.parameters(), strict=True):
        assert found.dtype == dtype, name
        assert torch.equal(saved, found), name


def test_folder_of_transformers_loads(tmp_path: Path) -> None:
    """A Llama saved by transformers itself is read with its own RoPE base and computes the same."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=32,
            rope_parameters={"rope_type": "default", "rope_theta": 77.0},
        )
    )
    theirs.save_pretrained(tmp_path)
    ours = load_folder(tmp_path)
    assert ours.config.rope_base == 77.0
    tokens = torch.arange(30)[None]
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "rope_type is 'yarn'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"model_type": "qwen2"}, "model_type is 'qwen2'"),
        ({"head_dim": 16}, "head_dim is 16"),
        ({"hidden_size": "48"}, "hidden_size must be a whole number"),
    ],
)
def test_what_we_do_not_compute_is_refused(
    model: Decoder, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """A configuration this decoder would compute wrongly is refused by name, never loaded as if it were plain."""
    save_folder(model, tmp_path, None)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path)


def test_tokenizer_larger_than_the_model_is_refused(
    config: DecoderConfig, tmp_path: Path, tokenizer_folder: Path
) -> None:
    """A checkpoint whose tokenizer names ids without an embedding would fail only when served."""
    with pytest.raises(ValueError, match="97 tokens, the model only 96"):
        save_folder(Decoder(replace(config, vocab_size=96)), tmp_path / "checkpoint", tokenizer_folder)
    assert not (tmp_path / "checkpoint").exists()


def test_folder_without_tokenizer_is_named(model: Decoder, tmp_path: Path) -> None:
    """A wrong tokenizer folder is found before anything is written."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        save_folder(model, tmp_path / "checkpoint", tmp_path / "empty")


def test_weights_have_llama_names(model: Decoder, tmp_path: Path) -> None:
    """The file holds Llama's tensors and no fused one, as vLLM expects them."""
    save_folder(model, tmp_path, None)
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    assert shapes["model.layers.1.self_attn.k_proj.weight"] == (16, 48)
    assert len(shapes) == 2 * 9 + 3
