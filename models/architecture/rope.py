"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in the half-split layout of Llama and InternLM2."""

import torch
from torch import Tensor


def rotation_table(max_length: int, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """What `rotate` needs at every position: two float32 tensors [max_length, head_dim].

    Channel pair (i, i + head_dim / 2) of position p turns by p * base^(-2i / head_dim); the first tensor is the
    cosine for both channels, the second the sine with the sign it has in each.
    """
    frequencies = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.arange(max_length, dtype=torch.float32)[:, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(heads: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Turns the channel pairs of heads [..., head_dim]; the tables' rows broadcast against the leading axes.

    Rolling by half the channels swaps a pair's partners, so two passes do; slicing out the halves takes several
    and is five times slower on a CPU.
    """
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, dims=-1), signed_sin)
