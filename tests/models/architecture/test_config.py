"""The shape of a decoder."""

from dataclasses import replace

import pytest

from models.architecture.config import DecoderConfig, count_parameters
from models.architecture.decoder import Decoder


@pytest.mark.parametrize("tie_embeddings", [False, True])
def test_count_is_that_of_the_tensors(config: DecoderConfig, tie_embeddings: bool) -> None:
    """Sizes quoted in reports and budgets are those of the model that is built."""
    shaped = replace(config, tie_embeddings=tie_embeddings)
    assert count_parameters(shaped) == sum(parameter.numel() for parameter in Decoder(shaped).parameters())


def test_count_of_the_published_7b() -> None:
    """The shape of InternLM2-7B (Table 3; feed-forward 14,336, vocabulary 92,544 as published) counts 7.7 billion."""
    published = DecoderConfig(92_544, 4096, 32, 32, 8, 14_336, 4096)
    assert count_parameters(published) == 7_737_708_544


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_heads": 5}, "multiple of n_heads"),
        ({"n_kv_heads": 4}, "multiple of n_kv_heads"),
        ({"dim": 54}, "must be even"),
        ({"n_layers": 0}, "n_layers must be positive"),
        ({"rope_base": float("nan")}, "rope_base must be positive"),
    ],
)
def test_impossible_shapes_are_refused(config: DecoderConfig, change: dict[str, int], message: str) -> None:
    """A shape that cannot be built is refused by name, not by a failing reshape in the first step."""
    with pytest.raises(ValueError, match=message):
        replace(config, **change)
