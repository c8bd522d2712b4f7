"""What the Hugging Face folders of this package share: settings, weights files and the tokenizer's files."""

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from models.architecture.config import DecoderConfig

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
GENERATION_FILE = "generation_config.json"
# Ends a turn of a conversation in InternLM2's template.
TURN_END = "<|im_end|>"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)


def shared_settings(config: DecoderConfig, dtype: str) -> dict[str, object]:
    """The fields of config.json that Llama and InternLM2 have in common, RoPE apart."""
    settings: dict[str, object] = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.ffn_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        # Both read dynamic scaling as beginning beyond this length.
        "max_position_embeddings": config.original_max_length or config.max_length,
        "rope_theta": config.rope_base,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tie_embeddings,
        "hidden_act": "silu",
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": dtype,
    }
    # Neither type has a field for the length that scaling reaches.
    return settings if config.rope_scaling == "none" else settings | {"athanor_max_length": config.max_length}


def decoder_config(settings: dict[str, object], path: Path, model_type: str) -> DecoderConfig:
    """The shape that the settings of a Llama or InternLM2 name; `path` is theirs, for errors.

    Dynamic scaling without our own field for its reach is taken to reach `factor` times the original length. Raises
    ValueError, naming the file and the setting, for what this decoder does not compute.
    """
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise ValueError(f"{path}: rope_parameters must be an object, not {rope!r}")
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    computed: dict[str, tuple[object, tuple[object, ...]]] = {
        "model_type": (settings.get("model_type"), (model_type,)),
        "hidden_act": (settings.get("hidden_act", "silu"), ("silu",)),
        # InternLM2 has one field for all its biases, absent in a Llama's.
        "bias": (settings.get("bias", False), (False,)),
        "attention_bias": (settings.get("attention_bias", False), (False,)),
        "mlp_bias": (settings.get("mlp_bias", False), (False,)),
        "rope_type": (rope_type, ("default", "dynamic")),
    }
    for name, (found, expected) in computed.items():
        if found not in expected:
            values = " or ".join(map(repr, expected))
            raise ValueError(f"{path}: {name} is {found!r}, but this decoder computes only {values}")

    def number(name: str, default: object = None) -> int:
        value = settings.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"{path}: {name} must be a whole number, not {value!r}")
        return value

    heads, length = number("num_attention_heads"), number("max_position_embeddings")
    dynamic = rope_type == "dynamic"
    factor = float(str(rope.get("factor", 1.0))) if dynamic else 1.0
    config = DecoderConfig(
        vocab_size=number("vocab_size"),
        dim=number("hidden_size"),
        n_layers=number("num_hidden_layers"),
        n_heads=heads,
        n_kv_heads=number("num_key_value_heads", heads),
        ffn_dim=number("intermediate_size"),
        max_length=number("athanor_max_length", int(factor * length)) if dynamic else length,
        rope_base=float(str(rope.get("rope_theta", settings.get("rope_theta", 10_000.0)))),
        norm_eps=float(str(settings.get("rms_norm_eps", 1e-6))),
        tie_embeddings=bool(settings.get("tie_word_embeddings", False)),
        rope_scaling="dynamic_ntk" if dynamic else "none",
        rope_factor=factor,
        original_max_length=length if dynamic else None,
    )
    head_dim = settings.get("head_dim") or config.head_dim
    if head_dim != config.head_dim:
        raise ValueError(f"{path}: head_dim is {head_dim}, but this decoder computes only hidden_size / heads")
    return config


def write_folder(
    folder: Path, settings: dict[str, object], tokenizer_folder: Path | None, special_ids: dict[str, object]
) -> None:
    """Creates `folder` with config.json, generation_config.json and the tokenizer's files; no weights yet."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_FILE, settings | special_ids)
    ends = answer_ends(tokenizer_folder) if tokenizer_folder else {}
    write_json(folder / GENERATION_FILE, {"_from_model_config": True} | special_ids | ends)
    if tokenizer_folder:
        for name in TOKENIZER_FILES:
            if (tokenizer_folder / name).exists():
                shutil.copyfile(tokenizer_folder / name, folder / name)


def read_settings(folder: Path) -> dict[str, object]:
    """The content of the folder's config.json."""
    settings: dict[str, object] = json.loads((folder / CONFIG_FILE).read_text())
    return settings


def write_weights(tensors: dict[str, Tensor], folder: Path, max_shard_bytes: int | None = None) -> None:
    """Writes one safetensors file, or with `max_shard_bytes` several of at most that size and their index.

    A single larger tensor still gets a file, of its own. Tensors are copied to the CPU file by file.
    """
    shards: list[list[str]] = [[]]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and max_shard_bytes and size + tensor.nbytes > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += tensor.nbytes
    files = [f"model-{index + 1:05}-of-{len(shards):05}.safetensors" for index in range(len(shards))]
    for file, names in zip(files if len(shards) > 1 else [WEIGHTS_FILE], shards, strict=True):
        content = {name: tensors[name].detach().cpu().contiguous() for name in names}
        save_file(content, folder / file, metadata={"format": "pt"})
    if len(shards) > 1:
        places = {name: file for file, names in zip(files, shards, strict=True) for name in names}
        total = sum(tensor.nbytes for tensor in tensors.values())
        write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": places})


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's safetensors file, or of the files its index names.

    Raises FileNotFoundError when neither is there, and ValueError when a file lacks a tensor the index places in it.
    """
    if (folder / WEIGHTS_FILE).exists():
        return load_file(folder / WEIGHTS_FILE)
    if not (folder / INDEX_FILE).exists():
        raise FileNotFoundError(
            f"{folder} holds neither {WEIGHTS_FILE} nor {INDEX_FILE}: save the model as safetensors "
            "(`save_pretrained` of transformers does)"
        )
    places: dict[str, str] = json.loads((folder / INDEX_FILE).read_text())["weight_map"]
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        tensors |= load_file(folder / file)
    if missing := sorted(places.keys() - tensors.keys()):
        raise ValueError(f"{folder}: the files of {INDEX_FILE} lack {', '.join(missing[:5])}; download them again")
    return tensors


def special_ids(tokenizer_folder: Path, vocab_size: int) -> dict[str, object]:
    """The ids of a saved tokenizer's bos, eos and pad tokens, as far as it has them, under config.json's names.

    Raises FileNotFoundError when the folder holds no tokenizer, and ValueError when it has more than `vocab_size`
    tokens.
    """
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


def answer_ends(tokenizer_folder: Path) -> dict[str, object]:
    """The tokens that end an answer, under generation_config.json's name, for a tokenizer that ends turns by one of
    its own: servers end an answer there."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    assert tokenizer is not None, tokenizer_folder
    turn_end = tokenizer.get_vocab().get(TURN_END)
    if turn_end is None or tokenizer.eos_token_id is None or tokenizer.chat_template is None:
        return {}
    return {"eos_token_id": [tokenizer.eos_token_id, turn_end]}


def end_ids(folder: Path) -> frozenset[int]:
    """The tokens that end an answer of the model in `folder`, none where its generation_config.json names none."""
    settings = json.loads((folder / GENERATION_FILE).read_text()) if (folder / GENERATION_FILE).exists() else {}
    named = settings.get("eos_token_id")
    return frozenset() if named is None else frozenset([named] if isinstance(named, int) else named)


def write_json(path: Path, content: dict[str, object]) -> None:
    """Writes an object as indented JSON with sorted keys."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
