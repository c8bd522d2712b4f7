"""A decoder as a Hugging Face folder of the Llama type, which transformers and vLLM load with no remote code.

InternLM2's layers compute what Llama's do; only the fused projection has to be taken apart on the way out and put
together on the way in.
"""

from pathlib import Path

from torch import Tensor

from models.architecture.attention import fuse_qkv, unfuse_qkv
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.folder import (
    CONFIG_FILE,
    decoder_config,
    read_settings,
    read_weights,
    shared_settings,
    special_ids,
    write_folder,
    write_weights,
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
    ids = special_ids(tokenizer_folder, model.config.vocab_size) if tokenizer_folder else {}
    write_folder(folder, llama_settings(model), tokenizer_folder, ids)
    write_weights(to_llama(model), folder)


def load_folder(folder: Path) -> Decoder:
    """The decoder in a Llama-type folder, in the dtype of its weights, on the CPU.

    Reads the folders `save_folder` writes and others without biases, whose RoPE is plain or dynamically scaled and
    whose weights are safetensors, in one file or several. Raises ValueError, naming the file and the setting, for a
    configuration this decoder does not compute.
    """
    config = decoder_config(read_settings(folder), folder / CONFIG_FILE, "llama")
    weights = from_llama(read_weights(folder), config)
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


def llama_settings(model: Decoder) -> dict[str, object]:
    """The content of config.json for this decoder as a `LlamaForCausalLM`.

    Dynamic scaling is computed like ours by transformers; vLLM 0.32 computes plain RoPE for it.
    """
    config = model.config
    rope: dict[str, object] = {"rope_type": "default", "rope_theta": config.rope_base}
    if config.rope_scaling == "dynamic_ntk":
        rope |= {"rope_type": "dynamic", "factor": config.rope_factor}
    return shared_settings(config, str(model.tok_embeddings.weight.dtype).removeprefix("torch.")) | {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "head_dim": config.head_dim,
        # transformers 5 reads `rope_parameters`, earlier ones and other servers read `rope_theta`.
        "rope_parameters": rope,
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
    }
