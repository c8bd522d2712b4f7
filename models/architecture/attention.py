"""Grouped-query attention with InternLM2's fused, interleaved projection.

Rows of the fused weight are ordered per key/value head as `[q_1 .. q_g, k, v]` (arXiv 2403.17297, section 2.2), so
that a tensor-parallel shard is a plain split of dimension 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture.config import DecoderConfig
from models.architecture.document_attention import Layout, attend
from models.architecture.rope import rotate


def fuse_qkv(query: Tensor, key: Tensor, value: Tensor, n_kv_heads: int) -> Tensor:
    """Interleaves separate projections into one weight [(n_heads + 2 * n_kv_heads) * head_dim, dim].

    `query` is [n_heads * head_dim, dim], `key` and `value` are [n_kv_heads * head_dim, dim].
    """
    per_head = [torch.unflatten(part, 0, (n_kv_heads, -1)) for part in (query, key, value)]
    return torch.cat(per_head, dim=1).flatten(0, 1)


def unfuse_qkv(fused: Tensor, n_kv_heads: int, head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The query, key and value weights inside a fused one: the inverse of `fuse_qkv`."""
    per_head = torch.unflatten(fused, 0, (n_kv_heads, -1, head_dim))
    query, key, value = per_head[:, :-2], per_head[:, -2], per_head[:, -1]
    return query.flatten(0, 2), key.flatten(0, 1), value.flatten(0, 1)


def split_qkv(fused: Tensor, n_kv_heads: int, tensor_parallel: int) -> list[Tensor]:
    """One rank's share of the fused weight per tensor-parallel rank; each is itself a fused weight.

    Raises ValueError when the key/value heads do not divide among the ranks.
    """
    if n_kv_heads % tensor_parallel:
        raise ValueError(
            f"{n_kv_heads} key/value heads do not divide among {tensor_parallel} tensor-parallel ranks; "
            "use a rank count that divides n_kv_heads"
        )
    return list(fused.chunk(tensor_parallel, dim=0))


def document_mask(document_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive mask [B, 1, T, T] under which a token sees itself and earlier tokens of its own document.

    `document_ids` is an integer tensor [B, T]. The mask is 0 where attention is allowed and -inf elsewhere; it is
    additive because scaled_dot_product_attention converts a boolean one again in every layer.
    """
    length = document_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=document_ids.device).tril()
    visible = (document_ids[:, :, None] == document_ids[:, None, :]) & causal
    mask = torch.zeros(visible.shape, dtype=dtype, device=document_ids.device)
    return mask.masked_fill_(~visible, float("-inf"))[:, None]


class Attention(nn.Module):
    """Causal grouped-query attention over hidden states [B, T, dim]."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        rows = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
        self.wqkv = nn.Linear(config.dim, rows, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)

    def project(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries [B, T, kv_heads, queries_per_kv, head_dim], rotated keys and values.

        Both of these are [B, T, kv_heads, head_dim]; `cos` and `sin` are [B or 1, T, 1, 1, head_dim].
        """
        return self.split(self.wqkv(hidden), cos, sin)

    def split(self, fused: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `project`, from what `wqkv` made [B, T, rows]."""
        config = self.config
        heads = fused.view(*fused.shape[:2], config.n_kv_heads, -1, config.head_dim)
        turned, value = torch.split(heads, [config.queries_per_kv + 1, 1], dim=3)
        query, key = torch.split(rotate(turned, cos, sin), [config.queries_per_kv, 1], dim=3)
        return query, key.squeeze(3), value.squeeze(3)

    def mix(self, query: Tensor, key: Tensor, value: Tensor, layout: Layout | None) -> Tensor:
        """The values each token attends to, [B, T, dim]; without a layout each row is one document."""
        if layout is not None:
            return attend(query, key, value, layout).flatten(2)
        mixed = F.scaled_dot_product_attention(
            query.flatten(2, 3).transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            is_causal=True,
            enable_gqa=self.config.queries_per_kv > 1,
        )
        return mixed.transpose(1, 2).flatten(2)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, layout: Layout | None) -> Tensor:
        """Attention from projection to projection; arguments as in `project` and `mix`."""
        projected: Tensor = self.wo(self.mix(*self.project(hidden, cos, sin), layout))
        return projected
