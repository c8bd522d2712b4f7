"""Rotary positions."""

import torch

from models.architecture.rope import document_lengths, dynamic_rotation, rotate, rotation_table


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


def test_dynamic_rotation_stretches_the_base() -> None:
    """Beyond the original length the base is base * (f L / L0 - (f - 1)) ^ (d / (d - 2)); up to it, nothing changes."""
    positions = torch.arange(30)[None]
    for length, stretch in ((10, 1.0), (20, 1.0), (30, 2.5 * 30 / 20 - 1.5)):
        found = dynamic_rotation(positions, torch.full_like(positions, length), 8, 1000.0, 2.5, 20)
        for table, expected in zip(found, rotation_table(30, 8, 1000.0 * stretch ** (8 / 6)), strict=True):
            torch.testing.assert_close(table[0], expected, atol=1e-5, rtol=1e-5)
            assert stretch > 1 or torch.equal(table[0], expected)


def test_document_lengths_per_row() -> None:
    """A document's length is counted inside its row, also where two rows use the same id or one is cut."""
    positions = torch.tensor([[0, 1, 2, 0, 1], [5, 6, 0, 1, 2]])
    ids = torch.tensor([[3, 3, 3, 9, 9], [9, 9, 3, 3, 3]])
    assert document_lengths(positions, ids).tolist() == [[3, 3, 3, 2, 2], [7, 7, 3, 3, 3]]
    assert document_lengths(positions, None).tolist() == [[3] * 5, [7] * 5]
