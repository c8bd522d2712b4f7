"""A decoder as a Hugging Face folder of the Llama type, which transformers and vLLM load with no remote code.

InternLM2's layers compute what Llama's do; only the fused projection has to be taken apart on the way out and put
together on the way in.
"""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from models.architecture.attention import fuse_qkv, unfuse_qkv
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder

WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
PROJECTIONS = {
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def save_folder(model: Decoder, folder: Path, tokenizer_folder: Path | None) -> None:
    """Writes config.json, generation_config.json, model.safetensors and the tokenizer's files into `folder`.

    The ids of the tokenizer's bos, eos and pad tokens go into both configurations; without a tokenizer they are
    absent. Weights keep the model's dtype. Raises FileNotFoundError when `tokenizer_folder` holds no tokenizer, and
    ValueError when its ids do not fit the model's vocabulary.
    """
    special_ids = _special_ids(tokenizer_folder, model.config.vocab_size) if tokenizer_folder else {}
    folder.mkdir(parents=True, exist_ok=True)
    dtype = str(model.tok_embeddings.weight.dtype).removeprefix("torch.")
    _write_json(folder / "config.json", _llama_config(model.config, dtype) | special_ids)
    _write_json(folder / "generation_config.json", {"_from_model_config": True} | special_ids)
    save_file(to_llama(model), folder / WEIGHTS_FILE, metadata={"format": "pt"})
    if tokenizer_folder:
        for name in TOKENIZER_FILES:
            if (tokenizer_folder / name).exists():
                shutil.copyfile(tokenizer_folder / name, folder / name)


def load_folder(folder: Path) -> Decoder:
    """The decoder in a Llama-type folder, in the dtype of its weights, on the CPU.

    Reads the folders `save_folder` writes and others with one weights file, no biases and unscaled RoPE. Raises
    ValueError, naming the file and the setting, for a configuration this decoder does not compute.
    """
    config = _decoder_config(json.loads((folder / "config.json").read_text()), folder / "config.json")
    if not (folder / WEIGHTS_FILE).exists():
        raise FileNotFoundError(
            f"{folder / WEIGHTS_FILE} is missing: save the model as one safetensors file "
            "(`save_pretrained(..., max_shard_size='100GB')`)"
        )
    weights = from_llama(load_file(folder / WEIGHTS_FILE), config)
    model = Decoder(config)
    model.to(weights["tok_embeddings.weight"].dtype)
    model.load_state_dict(weights)
    return model


def to_llama(model: Decoder) -> dict[str, Tensor]:
    """The decoder's weights under Llama's names, with separate query, key and value projections."""
    config, ours = model.config, model.state_dict()
    theirs = {"model.embed_tokens.weight": ours["tok_embeddings.weight"], "model.norm.weight": ours["norm.weight"]}
    if not config.tie_embeddings:
        theirs["lm_head.weight"] = ours["output.weight"]
    for index in range(config.n_layers):
        source, target = f"layers.{index}.", f"model.layers.{index}."
        parts = unfuse_qkv(ours[f"{source}attention.wqkv.weight"], config.n_kv_heads, config.head_dim)
        for letter, part in zip("qkv", parts, strict=True):
            theirs[f"{target}self_attn.{letter}_proj.weight"] = part
        for our_name, their_name in PROJECTIONS.items():
            theirs[f"{target}{their_name}.weight"] = ours[f"{source}{our_name}.weight"]
    return {name: tensor.detach().cpu().contiguous() for name, tensor in theirs.items()}


def from_llama(theirs: dict[str, Tensor], config: DecoderConfig) -> dict[str, Tensor]:
    """The inverse of `to_llama`: a state dict for a `Decoder` of this shape. Raises KeyError on a missing tensor."""
    embeddings = theirs["model.embed_tokens.weight"]
    ours = {
        "tok_embeddings.weight": embeddings,
        "norm.weight": theirs["model.norm.weight"],
        "output.weight": embeddings if config.tie_embeddings else theirs["lm_head.weight"],
    }
    for index in range(config.n_layers):
        source, target = f"model.layers.{index}.", f"layers.{index}."
        query, key, value = (theirs[f"{source}self_attn.{letter}_proj.weight"] for letter in "qkv")
        ours[f"{target}attention.wqkv.weight"] = fuse_qkv(query, key, value, config.n_kv_heads)
        for our_name, their_name in PROJECTIONS.items():
            ours[f"{target}{our_name}.weight"] = theirs[f"{source}{their_name}.weight"]
    return ours


def _llama_config(config: DecoderConfig, dtype: str) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.ffn_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_length,
        # transformers 5 reads `rope_parameters`, earlier ones and other servers read `rope_theta`.
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "rope_theta": config.rope_base,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": dtype,
    }


def _decoder_config(llama: dict[str, object], path: Path) -> DecoderConfig:
    rope = llama.get("rope_parameters") or llama.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise ValueError(f"{path}: rope_parameters must be an object, not {rope!r}")
    computed: dict[str, tuple[object, object]] = {
        "model_type": (llama.get("model_type"), "llama"),
        "hidden_act": (llama.get("hidden_act", "silu"), "silu"),
        "attention_bias": (llama.get("attention_bias", False), False),
        "mlp_bias": (llama.get("mlp_bias", False), False),
        "rope_type": (rope.get("rope_type", rope.get("type", "default")), "default"),
    }
    for name, (found, expected) in computed.items():
        if found != expected:
            raise ValueError(f"{path}: {name} is {found!r}, but this decoder computes only {expected!r}")

    def number(name: str, default: object = None) -> int:
        value = llama.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"{path}: {name} must be a whole number, not {value!r}")
        return value

    heads = number("num_attention_heads")
    config = DecoderConfig(
        vocab_size=number("vocab_size"),
        dim=number("hidden_size"),
        n_layers=number("num_hidden_layers"),
        n_heads=heads,
        n_kv_heads=number("num_key_value_heads", heads),
        ffn_dim=number("intermediate_size"),
        max_length=number("max_position_embeddings"),
        rope_base=float(str(rope.get("rope_theta", llama.get("rope_theta", 10_000.0)))),
        norm_eps=float(str(llama.get("rms_norm_eps", 1e-6))),
        tie_embeddings=bool(llama.get("tie_word_embeddings", False)),
    )
    head_dim = llama.get("head_dim") or config.head_dim
    if head_dim != config.head_dim:
        raise ValueError(f"{path}: head_dim is {head_dim}, but this decoder computes only hidden_size / heads")
    return config


def _special_ids(tokenizer_folder: Path, vocab_size: int) -> dict[str, object]:
    if not tokenizer_folder.is_dir():
        raise FileNotFoundError(f"{tokenizer_folder} is not a folder; pass the one the tokenizer was saved to")
    if not any((tokenizer_folder / name).exists() for name in ("tokenizer.json", "tokenizer.model")):
        raise FileNotFoundError(
            f"{tokenizer_folder} holds neither tokenizer.json nor tokenizer.model; save the tokenizer there first"
        )
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    assert tokenizer is not None, tokenizer_folder
    if len(tokenizer) > vocab_size:
        raise ValueError(
            f"the tokenizer in {tokenizer_folder} has {len(tokenizer)} tokens, the model only {vocab_size}: "
            "build the model with a vocab_size of at least the tokenizer's"
        )
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return {name: value for name, value in ids.items() if value is not None}


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
