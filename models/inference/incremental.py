"""A decoder's forward pass a few tokens at a time, keys and values of the earlier ones kept.

It reads the decoder's own submodules, so the architecture knows nothing of caches.
"""

from collections.abc import Iterable
from typing import cast

import torch.nn.functional as F
from torch import Tensor

from models.architecture.decoder import Decoder, Layer

# One layer's keys and values, [B, n_kv_heads, columns, head_dim] each.
Cache = tuple[Tensor, Tensor]


def empty_caches(decoder: Decoder, batch: int, columns: int) -> list[Cache]:
    """Room for the keys and values of `columns` tokens in each of `batch` rows, one cache per layer."""
    shape = (batch, decoder.config.n_kv_heads, columns, decoder.config.head_dim)
    weight = decoder.output.weight
    return [(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in range(decoder.config.n_layers)]


def next_logits(
    decoder: Decoder, tokens: Tensor, positions: Tensor, mask: Tensor, caches: list[Cache], begin: int
) -> Tensor:
    """Logits [B, V], in float32, after tokens [B, n] that stand in columns `begin` and on.

    `mask` is additive, [B, 1, n, begin + n]; the tokens' keys and values are put into `caches`, which must hold those
    of the columns before.
    """
    cos, sin = (decoder.get_buffer(name)[positions][:, :, None, None] for name in ("cos", "sin"))
    hidden = decoder.tok_embeddings(tokens)
    for layer, cache in zip(cast(Iterable[Layer], decoder.layers), caches, strict=True):
        mixed = _mix(*layer.before_attention(hidden, cos, sin), mask, cache, begin)
        hidden = layer.after_attention(hidden, mixed)
    logits: Tensor = decoder.output(decoder.norm(hidden[:, -1]))
    return logits.float()


def _mix(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, cache: Cache, begin: int) -> Tensor:
    """`Attention.mix` with the keys and values of columns 0 to begin + n taken from, and put into, the cache."""
    keys, values = cache
    end = begin + query.shape[1]
    keys[:, :, begin:end] = key.transpose(1, 2)
    values[:, :, begin:end] = value.transpose(1, 2)
    mixed = F.scaled_dot_product_attention(
        query.flatten(2, 3).transpose(1, 2),
        keys[:, :, :end],
        values[:, :, :end],
        attn_mask=mask,
        enable_gqa=query.shape[3] > 1,
    )
    return mixed.transpose(1, 2).flatten(2)
