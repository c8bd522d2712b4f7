"""A decoder as a folder of the published InternLM2 weights: fused projections, `model_type` internlm2, in shards.

Names and fields are those of the published 1.8B, 7B and 20B models (2.0 and 2.5). Their tensors are ours under a
prefix, so that nothing is computed on the way. transformers needs the publisher's own code for such folders; for one
that loads without, import here and write with `save_folder`.
"""

from pathlib import Path

from torch import Tensor

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

OUTPUT = "output.weight"
PREFIX = "model."
# The published files' limit.
SHARD_BYTES = 2_000_000_000


def save_internlm2_folder(
    model: Decoder, folder: Path, tokenizer_folder: Path | None, max_shard_bytes: int = SHARD_BYTES
) -> None:
    """Writes the decoder as an InternLM2 folder, with an index when one file does not hold it.

    Special ids, dtype and errors are as in `save_folder`. The publisher's Python files are not written.
    """
    ids = special_ids(tokenizer_folder, model.config.vocab_size) if tokenizer_folder else {}
    write_folder(folder, _internlm2_settings(model), tokenizer_folder, ids)
    write_weights(to_internlm2(model), folder, max_shard_bytes)


def load_internlm2_folder(folder: Path) -> Decoder:
    """The decoder in an InternLM2 folder, in the dtype of its weights, on the CPU.

    Dynamic RoPE scaling reaches `factor` times the published length (see `extrapolate` for other lengths). Raises
    FileNotFoundError when the weights are not safetensors, and ValueError, naming the file and the setting, for a
    configuration this decoder does not compute.
    """
    config = decoder_config(read_settings(folder), folder / CONFIG_FILE, "internlm2")
    theirs = read_weights(folder)
    ours = {name.removeprefix(PREFIX): tensor for name, tensor in theirs.items()}
    if config.tie_embeddings:
        ours[OUTPUT] = ours["tok_embeddings.weight"]
    model = Decoder(config)
    model.to(ours["tok_embeddings.weight"].dtype)
    model.load_state_dict(ours)
    return model


def to_internlm2(model: Decoder) -> dict[str, Tensor]:
    """The decoder's weights, not copied, under the published names."""
    ours = model.state_dict()
    theirs = {PREFIX + name: tensor for name, tensor in ours.items() if name != OUTPUT}
    return theirs if model.config.tie_embeddings else theirs | {OUTPUT: ours[OUTPUT]}


def _internlm2_settings(model: Decoder) -> dict[str, object]:
    config, dtype = model.config, str(model.tok_embeddings.weight.dtype).removeprefix("torch.")
    dynamic = {"type": "dynamic", "factor": config.rope_factor}
    return shared_settings(config, dtype) | {
        "architectures": ["InternLM2ForCausalLM"],
        "model_type": "internlm2",
        "bias": False,
        "rope_scaling": dynamic if config.rope_scaling == "dynamic_ntk" else None,
        # The publisher's code is older than the field `dtype`.
        "torch_dtype": dtype,
    }
