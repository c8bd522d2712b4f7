"""Attention inside the documents of packed rows, without the full square of a row.

Queries are cut into blocks of places. A block reads the keys from where the earliest document begins that its first
tokens belong to: work and masks grow with the documents' lengths, not with the row's. On a GPU a kernel for variable
lengths does the same without masks.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Places of a block, our default: the fastest of 32 to 256 on a CPU for documents of about 100 tokens.
BLOCK = 128
# Keys up to which scores are written out, twice as fast on a CPU; beyond, the fused kernel keeps none of them.
WRITTEN_OUT = 512


@dataclass(frozen=True)
class Block:
    """Queries at places [begin, end) of every row, reading keys at [first_key, end).

    `mask` [B, 1, 1, end - begin, end - first_key] is 0 where a token sees another and -inf elsewhere.
    """

    begin: int
    end: int
    first_key: int
    mask: Tensor


def document_blocks(document_ids: Tensor, dtype: torch.dtype, size: int = BLOCK) -> list[Block]:
    """The blocks of rows whose documents are `document_ids` [B, T], each document in consecutive places of a row."""
    length = document_ids.shape[1]
    places = torch.arange(length, device=document_ids.device)
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    begin_of = torch.where(begins, places, 0).cummax(dim=1).values
    starts = range(0, length, size)
    first_keys = begin_of[:, ::size].amin(dim=0).tolist()
    blocks = []
    for start, first_key in zip(starts, first_keys, strict=True):
        end = min(start + size, length)
        keys = places[first_key:end]
        hidden = (keys > places[start:end, None]) | (keys < begin_of[:, start:end, None])
        mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, float("-inf"))
        blocks.append(Block(start, end, first_key, mask[:, None, None]))
    return blocks


@dataclass(frozen=True)
class Spans:
    """Documents laid end to end: document i is at [bounds[i], bounds[i + 1]); `bounds` is int32 [documents + 1]."""

    bounds: Tensor
    longest: int


Layout = list[Block] | Spans


def document_spans(document_ids: Tensor) -> Spans:
    """The documents of rows [B, T] laid end to end; one that goes on in the next row is two."""
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    starts = begins.flatten().nonzero().flatten()
    bounds = torch.cat((starts, starts.new_tensor([document_ids.numel()]))).to(torch.int32)
    return Spans(bounds, int(bounds.diff().max()))


def document_layout(document_ids: Tensor, dtype: torch.dtype) -> Layout:
    """What `attend` needs for a batch: spans where a kernel for variable lengths exists, blocks elsewhere."""
    if document_ids.is_cuda and dtype in (torch.bfloat16, torch.float16):
        return document_spans(document_ids)
    return document_blocks(document_ids, dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
    """Causal attention inside documents.

    `query` is [B, T, kv_heads, queries_per_kv, head_dim], as the answer; `key` and `value` are
    [B, T, kv_heads, head_dim].
    """
    if isinstance(layout, Spans):
        return _attend_spans(query, key, value, layout)
    query = (query * query.shape[-1] ** -0.5).permute(0, 2, 3, 1, 4)
    key, value = key.transpose(1, 2), value.transpose(1, 2)
    return torch.cat([_attend_block(query, key, value, block) for block in layout], dim=3).permute(0, 3, 1, 2, 4)


def _attend_spans(query: Tensor, key: Tensor, value: Tensor, spans: Spans) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    mixed = varlen_attn(
        query.flatten(2, 3).flatten(0, 1),
        key.flatten(0, 1),
        value.flatten(0, 1),
        spans.bounds,
        spans.bounds,
        spans.longest,
        spans.longest,
        window_size=(-1, 0),
        enable_gqa=query.shape[3] > 1,
    )
    assert isinstance(mixed, Tensor)
    return mixed.view(query.shape)


def _attend_block(query: Tensor, key: Tensor, value: Tensor, block: Block) -> Tensor:
    asked = query[..., block.begin : block.end, :]
    keys, values = (part[:, :, block.first_key : block.end] for part in (key, value))
    if keys.shape[2] > WRITTEN_OUT:
        mixed = F.scaled_dot_product_attention(
            asked.flatten(1, 2), keys, values, attn_mask=block.mask[:, 0], scale=1.0, enable_gqa=True
        )
        return mixed.view(asked.shape)
    # Query heads of one key head are rows of one matrix: keys are read once for all of them.
    scores = torch.matmul(asked.flatten(2, 3), keys.transpose(-1, -2))
    weights = scores.view(*asked.shape[:-1], -1).add_(block.mask).softmax(dim=-1)
    return torch.matmul(weights.view(scores.shape), values).view(asked.shape)
