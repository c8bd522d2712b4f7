"""The fused projection and the mask of packed documents."""

import pytest
import torch

from models.architecture.attention import Attention, document_mask, fuse_qkv, split_qkv, unfuse_qkv
from models.architecture.config import DecoderConfig
from models.architecture.rope import rotation_table

CONFIG = DecoderConfig(vocab_size=11, dim=48, n_layers=1, n_heads=8, n_kv_heads=4, ffn_dim=8, max_length=32)


def projections(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kv_rows = CONFIG.n_kv_heads * CONFIG.head_dim
    query, key, value = (torch.randn(rows, CONFIG.dim, generator=generator) for rows in (CONFIG.dim, kv_rows, kv_rows))
    return query, key, value


def stacked_attention(
    hidden: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, n_heads: int, n_kv_heads: int
) -> torch.Tensor:
    """Causal attention written out with separate projections and explicit head repetition, before `wo`."""
    length, head_dim = hidden.shape[0], CONFIG.head_dim
    cos, sin = rotation_table(length, head_dim, CONFIG.rope_base)
    cos, sin = cos[:, : head_dim // 2], sin[:, head_dim // 2 :]

    def turn(heads: torch.Tensor) -> torch.Tensor:
        first, second = heads[..., : head_dim // 2], heads[..., head_dim // 2 :]
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)

    queries = turn((hidden @ query.T).view(length, n_heads, head_dim).transpose(0, 1))
    keys = turn((hidden @ key.T).view(length, n_kv_heads, head_dim).transpose(0, 1))
    values = (hidden @ value.T).view(length, n_kv_heads, head_dim).transpose(0, 1)
    keys, values = (heads.repeat_interleave(n_heads // n_kv_heads, dim=0) for heads in (keys, values))
    scores = queries @ keys.transpose(1, 2) / head_dim**0.5
    hidden_future = torch.ones(length, length, dtype=torch.bool).triu(1)
    return (scores.masked_fill(hidden_future, float("-inf")).softmax(-1) @ values).transpose(0, 1).flatten(1)


def test_rows_are_interleaved_per_key_value_head() -> None:
    """The layout is InternLM2's `[q_1 .. q_g, k, v]` per key/value head, so that its weights can be read."""
    fused = fuse_qkv(*projections(), n_kv_heads=CONFIG.n_kv_heads)
    query, key, value = (part.view(-1, CONFIG.head_dim, CONFIG.dim) for part in projections())
    by_hand = []
    for head in range(CONFIG.n_kv_heads):
        by_hand += [query[2 * head], query[2 * head + 1], key[head], value[head]]
    assert torch.equal(fused, torch.cat(by_hand))


def test_unfuse_inverts_fuse() -> None:
    """Export and import lose nothing."""
    fused = fuse_qkv(*projections(), n_kv_heads=CONFIG.n_kv_heads)
    for found, expected in zip(unfuse_qkv(fused, CONFIG.n_kv_heads, CONFIG.head_dim), projections(), strict=True):
        assert torch.equal(found, expected)


def test_fused_attention_equals_stacked_projections() -> None:
    """The fused, grouped, rotated attention computes what three separate projections and a plain softmax do."""
    attention = Attention(CONFIG)
    with torch.no_grad():
        attention.wqkv.weight.copy_(fuse_qkv(*projections(), n_kv_heads=CONFIG.n_kv_heads) / 7)
    hidden = torch.randn(20, CONFIG.dim, generator=torch.Generator().manual_seed(1))
    cos, sin = (table[None, :20, None, None] for table in rotation_table(32, CONFIG.head_dim, CONFIG.rope_base))
    expected = stacked_attention(hidden, *(part / 7 for part in projections()), CONFIG.n_heads, CONFIG.n_kv_heads)
    found = attention(hidden[None], cos, sin, None)[0]
    torch.testing.assert_close(found, expected @ attention.wo.weight.T, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tensor_parallel", [1, 2, 4])
def test_split_equals_per_rank_projections(tensor_parallel: int) -> None:
    """A plain split of dimension 0 gives each rank its own heads: re-sharding needs no permutation."""
    shards = split_qkv(fuse_qkv(*projections(), n_kv_heads=CONFIG.n_kv_heads), CONFIG.n_kv_heads, tensor_parallel)
    per_rank = [part.chunk(tensor_parallel) for part in projections()]
    assert len(shards) == tensor_parallel
    for rank, shard in enumerate(shards):
        expected = fuse_qkv(*(part[rank] for part in per_rank), n_kv_heads=CONFIG.n_kv_heads // tensor_parallel)
        assert torch.equal(shard, expected)


def test_split_refuses_uneven_ranks() -> None:
    """Half a head on a rank would be silently wrong."""
    with pytest.raises(ValueError, match="do not divide"):
        split_qkv(fuse_qkv(*projections(), n_kv_heads=CONFIG.n_kv_heads), CONFIG.n_kv_heads, 3)


def test_mask_is_causal_and_block_diagonal() -> None:
    """A token sees itself and the earlier tokens of its document; nothing else, in any row."""
    ids = torch.tensor([[4, 4, 7, 7, 7, 4], [1, 2, 2, 2, 3, 3]])
    mask = document_mask(ids, torch.float32)
    assert mask.shape == (2, 1, 6, 6)
    for row in range(2):
        for to in range(6):
            for origin in range(6):
                allowed = origin <= to and ids[row, origin] == ids[row, to]
                assert mask[row, 0, to, origin] == (0.0 if allowed else float("-inf"))
