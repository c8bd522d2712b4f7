"""Configuration of InternLM2's tokenizer and decoder."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import Field


class TokenizerConfig(dg.Config):
    """`internlm2/tokenizer`. The paper's tokenizer has 92,548 tokens (§3.2.1)."""

    vocab_size: int = Field(2048, ge=300, description="Tokens, special ones included; our default for small models.")
    min_frequency: int = Field(2, ge=1, description="A pair seen less often is not merged; our default.")


class DecoderSize(dg.Config):
    """Size of the decoder. Published sizes are in Table 3 of the paper."""

    dim: int = Field(128, gt=0, description="Width of the residual stream.")
    n_layers: int = Field(4, gt=0, description="Decoder layers.")
    n_heads: int = Field(4, gt=0, description="Query heads.")
    n_kv_heads: int = Field(2, gt=0, description="Key and value heads (GQA).")
    ffn_dim: int = Field(384, gt=0, description="Inner width of SwiGLU.")
    max_length: int = Field(256, gt=0, description="Context length. Tokens.")
    rope_base: float = Field(50_000.0, gt=0, description="RoPE base of phase 1 (paper, §3.3).")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    tokenizer: TokenizerConfig
    decoder: DecoderSize


TINY = Config(TokenizerConfig(), DecoderSize())
# Table 3, 1.8B: 24 layers, width 2048, 8 KV heads with 2 queries each; ffn width of the released 1.8B model.
PAPER = Config(
    TokenizerConfig(vocab_size=92_548),
    DecoderSize(dim=2048, n_layers=24, n_heads=16, n_kv_heads=8, ffn_dim=8192, max_length=4096),
)
