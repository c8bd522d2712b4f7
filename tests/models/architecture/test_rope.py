"""Rotary positions."""

import torch

from models.architecture.rope import rotate, rotation_table


def test_rotation_is_complex_multiplication() -> None:
    """Channel i and i + half are the real and imaginary part of a number turned by position * frequency."""
    heads = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    cos, sin = rotation_table(7, 10, base=50_000.0)
    turned = rotate(heads, cos, sin)
    angles = torch.arange(7)[:, None] * 50_000.0 ** (-torch.arange(5) / 5)
    expected = torch.complex(heads[:, :5], heads[:, 5:]) * torch.polar(torch.ones(7, 5), angles)
    torch.testing.assert_close(turned, torch.cat((expected.real, expected.imag), dim=1), atol=1e-5, rtol=1e-5)


def test_scores_depend_on_distance_alone() -> None:
    """The score of a query and a key is the same wherever both stand: what lets a cut document start at 0 again."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(8, generator=generator), torch.randn(8, generator=generator)
    cos, sin = rotation_table(50, 8, base=10_000.0)
    scores = [rotate(query, cos[p + 6], sin[p + 6]) @ rotate(key, cos[p], sin[p]) for p in range(0, 44, 7)]
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(len(scores)), atol=1e-5, rtol=1e-5)
