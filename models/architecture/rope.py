"""Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in the half-split layout of Llama and InternLM2."""

import torch
from torch import Tensor


def rotation_table(max_length: int, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines of every position: two float32 tensors [max_length, head_dim / 2].

    Channel pair i of position p turns by p * base^(-2i / head_dim).
    """
    frequencies = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.arange(max_length, dtype=torch.float32)[:, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the channel pairs (i, i + head_dim / 2) of heads [..., head_dim] by the given angles.

    `cos` and `sin` [..., head_dim / 2] broadcast against the leading axes. Returns a new contiguous tensor.
    """
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
