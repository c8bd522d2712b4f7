"""Longer contexts for trained weights: another RoPE base (InternLM2's second phase) and extrapolation beyond it."""

from dataclasses import replace

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder

# The base of InternLM2's long-context phase (arXiv 2403.17297, section 3.3); 50,000 before it.
LONG_ROPE_BASE = 1_000_000.0


def extend_context(model: Decoder, max_length: int, rope_base: float | None = None) -> Decoder:
    """A decoder with equal weights for rows of up to `max_length` tokens, with `rope_base` instead of the model's.

    InternLM2 goes from 4,096 tokens to 32,768 with a base of `LONG_ROPE_BASE` and then trains on. The weights are
    copies, on the model's device and in its dtype; RoPE scaling stays as it was. Raises ValueError for lengths and
    bases no decoder has.
    """
    base = model.config.rope_base if rope_base is None else rope_base
    return _with_config(model, replace(model.config, max_length=max_length, rope_base=base))


def extrapolate(model: Decoder, max_length: int, factor: float) -> Decoder:
    """A decoder with equal weights that reads up to `max_length` tokens by dynamic NTK scaling, without training.

    Documents within the model's own `max_length` (its original one, when it is scaled already) keep their logits.
    Beyond it the rotation of every token depends on the document's whole length: keys cached at a shorter length are
    not those of a longer one (transformers' `generate` mixes them). The weights are copies, on the model's device and
    in its dtype. Raises ValueError for a shorter `max_length` or a factor below 1.
    """
    config = model.config
    original = config.original_max_length or config.max_length
    scaling = {"rope_factor": factor, "original_max_length": original}
    return _with_config(model, replace(config, max_length=max_length, rope_scaling="dynamic_ntk", **scaling))


def _with_config(model: Decoder, config: DecoderConfig) -> Decoder:
    extended = Decoder(config).to(model.tok_embeddings.weight.device, model.tok_embeddings.weight.dtype)
    extended.load_state_dict(model.state_dict())
    return extended
