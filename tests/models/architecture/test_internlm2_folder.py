"""The layout of the published InternLM2 weights.

The weights themselves cannot be had here; the folders below are of their form, at a small size.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.architecture.context import extrapolate
from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder
from models.architecture.internlm2_folder import load_internlm2_folder, save_internlm2_folder, to_internlm2

# config.json of internlm2-chat-7b, with small sizes and other special ids left out.
PUBLISHED = {
    "architectures": ["InternLM2ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_internlm2.InternLM2Config",
        "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM",
    },
    "bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 48,
    "initializer_range": 0.02,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "model_type": "internlm2",
    "num_attention_heads": 6,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 2,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"type": "dynamic", "factor": 2.0},
    "rope_theta": 1000000,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 97,
}


def published_folder(folder: Path) -> dict[str, torch.Tensor]:
    """Writes a folder of the published form in two shards; returns the same weights under Llama's names.

    The fused rows are laid out by hand from separate heads, so that the layout is not checked against our own code.
    """
    generator = torch.Generator().manual_seed(0)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.1

    theirs = {"model.tok_embeddings.weight": matrix(97, 48), "model.norm.weight": 1 + matrix(48)}
    theirs["output.weight"] = matrix(97, 48)
    llama = {
        "model.embed_tokens.weight": theirs["model.tok_embeddings.weight"],
        "model.norm.weight": theirs["model.norm.weight"],
        "lm_head.weight": theirs["output.weight"],
    }
    for index in range(2):
        layer = f"model.layers.{index}."
        queries, keys, values = ([matrix(8, 48) for _ in range(heads)] for heads in (6, 2, 2))
        fused = [*queries[:3], keys[0], values[0], *queries[3:], keys[1], values[1]]
        theirs[f"{layer}attention.wqkv.weight"] = torch.cat(fused)
        for letter, heads in zip("qkv", (queries, keys, values), strict=True):
            llama[f"{layer}self_attn.{letter}_proj.weight"] = torch.cat(heads)
        for name, their_name, tensor in (
            ("attention.wo", "self_attn.o_proj", matrix(48, 48)),
            ("feed_forward.w1", "mlp.gate_proj", matrix(80, 48)),
            ("feed_forward.w3", "mlp.up_proj", matrix(80, 48)),
            ("feed_forward.w2", "mlp.down_proj", matrix(48, 80)),
            ("attention_norm", "input_layernorm", 1 + matrix(48)),
            ("ffn_norm", "post_attention_layernorm", 1 + matrix(48)),
        ):
            theirs[f"{layer}{name}.weight"] = llama[f"{layer}{their_name}.weight"] = tensor
    names = sorted(theirs)
    places = {name: f"model-{1 + (place > 6):05}-of-00002.safetensors" for place, name in enumerate(names)}
    folder.mkdir()
    for file in set(places.values()):
        save_file({name: theirs[name] for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps(PUBLISHED))
    return llama


def test_published_folder_computes_what_llama_does(tmp_path: Path) -> None:
    """A sharded folder of the published form, imported, exported as Llama's and run by transformers: logits agree.

    Also beyond the published length, where both scale RoPE dynamically.
    """
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    llama = published_folder(tmp_path / "published")
    ours = load_internlm2_folder(tmp_path / "published")
    assert ours.config.rope_base == 1_000_000.0
    assert (ours.config.original_max_length, ours.config.max_length, ours.config.rope_factor) == (64, 128, 2.0)
    fields = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    by_hand = LlamaForCausalLM(
        LlamaConfig(
            **{name: PUBLISHED[name] for name in (*fields, "num_key_value_heads", "max_position_embeddings")},
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0},
        )
    )
    by_hand.load_state_dict(llama)
    save_folder(ours, tmp_path / "converted", None)
    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "converted")
    for length in (40, 110):
        tokens = torch.randint(0, 97, (2, length), generator=torch.Generator().manual_seed(length))
        with torch.inference_mode():
            found = ours(tokens)
            torch.testing.assert_close(found, by_hand(tokens).logits, atol=1e-5, rtol=0)
            torch.testing.assert_close(found, converted(tokens).logits, atol=1e-5, rtol=0)


def test_published_folder_comes_back(tmp_path: Path) -> None:
    """Import and export lose nothing: the same tensors, bit for bit, and the fields a reader of the folder needs."""
    published_folder(tmp_path / "published")
    save_internlm2_folder(load_internlm2_folder(tmp_path / "published"), tmp_path / "again", None)
    before = {}
    for file in (tmp_path / "published").glob("*.safetensors"):
        before |= load_file(file)
    after = load_file(tmp_path / "again/model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    written = json.loads((tmp_path / "again/config.json").read_text())
    absent = ("auto_map", "initializer_range", "use_cache", "bos_token_id", "eos_token_id", "pad_token_id")
    assert {name: written.get(name) for name in PUBLISHED if name not in absent} == {
        name: value for name, value in PUBLISHED.items() if name not in absent
    }


@pytest.mark.parametrize("tie_embeddings", [False, True])
@pytest.mark.parametrize("max_shard_bytes", [1, 40_000, 10_000_000])
def test_round_trip_in_shards(model: Decoder, tmp_path: Path, max_shard_bytes: int, tie_embeddings: bool) -> None:
    """Whatever the number of files, what is loaded is what was saved, bit for bit."""
    model = Decoder(replace(model.config, tie_embeddings=tie_embeddings), seed=2).to(torch.bfloat16)
    save_internlm2_folder(model, tmp_path, None, max_shard_bytes)
    files = list(tmp_path.glob("*.safetensors"))
    assert len(files) == {1: len(to_internlm2(model)), 10_000_000: 1}.get(max_shard_bytes, len(files))
    assert max_shard_bytes != 40_000 or 1 < len(files) < 10
    loaded = load_internlm2_folder(tmp_path)
    assert loaded.config == model.config
    for (name, saved), found in zip(model.named_parameters(), loaded.parameters(), strict=True):
        assert found.dtype == torch.bfloat16, name
        assert torch.equal(saved, found), name


def test_scaling_survives(model: Decoder, tmp_path: Path) -> None:
    """The reach of dynamic scaling is kept, though the published form has no field for it."""
    scaled = extrapolate(model, max_length=900, factor=3.0)
    save_internlm2_folder(scaled, tmp_path, None)
    assert load_internlm2_folder(tmp_path).config == scaled.config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": True}, "bias is True"),
        ({"model_type": "internlm"}, "model_type is 'internlm'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type is 'linear'"),
    ],
)
def test_what_we_do_not_compute_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """InternLM's first version and other scalings are refused by name."""
    published_folder(tmp_path / "published")
    (tmp_path / "published/config.json").write_text(json.dumps(PUBLISHED | change))
    with pytest.raises(ValueError, match=message):
        load_internlm2_folder(tmp_path / "published")


def test_incomplete_downloads_are_named(tmp_path: Path) -> None:
    """Weights in another format, and shards that are not what the index says, are errors that say what to do."""
    published_folder(tmp_path / "published")
    index = tmp_path / "published/model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    places["model.layers.9.ffn_norm.weight"] = "model-00001-of-00002.safetensors"
    index.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(ValueError, match=r"lack model\.layers\.9\.ffn_norm\.weight"):
        load_internlm2_folder(tmp_path / "published")
    index.unlink()
    with pytest.raises(FileNotFoundError, match=r"neither model\.safetensors nor"):
        load_internlm2_folder(tmp_path / "published")
