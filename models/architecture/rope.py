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


def dynamic_rotation(
    positions: Tensor, lengths: Tensor, head_dim: int, base: float, factor: float, original_length: int
) -> tuple[Tensor, Tensor]:
    """`rotation_table`'s rows [B, T, head_dim] with the base stretched for documents beyond `original_length`.

    `positions` and `lengths` are integer tensors [B, T]: where each token stands and how long its document is. The
    base of a document of L tokens is base * (factor * L / original_length - (factor - 1)) ^ (d / (d - 2)) with d the
    head size (dynamic NTK, as in transformers); shorter documents keep `base`, and exactly `rotation_table`'s values.
    """
    channels = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device)
    stretch = (factor * lengths.float() / original_length - (factor - 1)).clamp(min=1.0)
    # (base * s^(d / (d - 2)))^(-i / d) is base^(-i / d) * s^(-i / (d - 2)), whose second factor is exactly 1 at s = 1.
    frequencies = base ** (-channels / head_dim) * stretch[..., None] ** (-channels / (head_dim - 2))
    angles = positions.float()[..., None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def document_lengths(positions: Tensor, document_ids: Tensor | None) -> Tensor:
    """How many positions the document of each token spans, int64 [B, T]: its last position in the row plus one.

    Both arguments are integer tensors [B, T]; without document ids each row is one document.
    """
    if document_ids is None:
        return (positions.amax(dim=1, keepdim=True) + 1).expand_as(positions)
    rows = torch.arange(len(positions), device=positions.device)[:, None].expand_as(positions)
    pairs = torch.stack((rows, document_ids), dim=-1).flatten(0, 1)
    documents, place = torch.unique(pairs, dim=0, return_inverse=True)
    last = positions.new_zeros(len(documents)).scatter_reduce(0, place, positions.flatten(), "amax")
    return (last + 1)[place].view_as(positions)


def rotate(heads: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Turns the channel pairs of heads [..., head_dim]; the tables' rows broadcast against the leading axes.

    Rolling by half the channels swaps a pair's partners, so two passes do; slicing out the halves takes several
    and is five times slower on a CPU.
    """
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, dims=-1), signed_sin)
