"""A decoder with fresh weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assets.internlm2.config import DecoderSize

if TYPE_CHECKING:
    from models.architecture.decoder import Decoder


def new_decoder(size: DecoderSize, vocab_size: int, seed: int) -> Decoder:
    """A decoder with the initial weights of a seed: the same for every arm that starts from it."""
    from models.architecture.config import DecoderConfig
    from models.architecture.decoder import Decoder

    return Decoder(
        DecoderConfig(
            vocab_size=vocab_size,
            dim=size.dim,
            n_layers=size.n_layers,
            n_heads=size.n_heads,
            n_kv_heads=size.n_kv_heads,
            ffn_dim=size.ffn_dim,
            max_length=size.max_length,
            rope_base=size.rope_base,
        ),
        seed=seed,
    )
