"""Longer contexts for trained weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.architecture.config import DecoderConfig
from models.architecture.context import LONG_ROPE_BASE, extend_context, extrapolate
from models.architecture.decoder import Decoder
from models.architecture.huggingface import load_folder, save_folder

LENGTHS = (150, 3, 70, 64)


@pytest.fixture
def scaled(model: Decoder) -> Decoder:
    """The model of 64 tokens, reading up to 400 by dynamic NTK scaling."""
    return extrapolate(model, max_length=400, factor=2.0)


def drawn(length: int) -> torch.Tensor:
    return torch.randint(0, 97, (1, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("length", [64, 65, 100, 200, 400])
def test_extrapolation_is_that_of_transformers(scaled: Decoder, tmp_path: Path, length: int) -> None:
    """The exported folder asks transformers for the same scaling: logits agree up to the original length and beyond."""
    from transformers import AutoModelForCausalLM

    save_folder(scaled, tmp_path, None)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    with torch.inference_mode():
        torch.testing.assert_close(scaled(drawn(length)), theirs(drawn(length)).logits, atol=1e-5, rtol=0)


def test_extrapolation_changes_long_rows_alone(model: Decoder, scaled: Decoder) -> None:
    """What the model was trained on stays bit-equal; longer rows have other logits than the plain base would give."""
    plain = extend_context(model, max_length=400)
    with torch.inference_mode():
        assert torch.equal(model(drawn(64)), scaled(drawn(64)))
        assert (plain(drawn(100)) - scaled(drawn(100))).abs().max() > 1e-2


def test_packed_rows_scale_each_document_by_its_own_length(scaled: Decoder) -> None:
    """A document's logits are those it has alone, whichever longer or shorter ones share its row or its batch."""
    documents = [drawn(length) for length in LENGTHS]
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    ids = torch.repeat_interleave(torch.tensor([7, 7_000, 2, 5]), torch.tensor(LENGTHS))[None]
    row = (torch.cat(documents, dim=1), positions, ids)
    other = (drawn(sum(LENGTHS)), torch.arange(sum(LENGTHS))[None], torch.full_like(ids, 7))
    with torch.inference_mode():
        batch = scaled(*(torch.cat(pair) for pair in zip(row, other, strict=True)))
        for found, document in zip(batch[0].split(LENGTHS), documents, strict=True):
            torch.testing.assert_close(found, scaled(document)[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(batch[1:], scaled(other[0]), atol=1e-5, rtol=1e-5)


def test_scaling_survives_the_folder(scaled: Decoder, tmp_path: Path) -> None:
    """Factor, original and present length are read back."""
    save_folder(scaled, tmp_path, None)
    assert load_folder(tmp_path).config == scaled.config


def test_long_phase_keeps_the_weights(model: Decoder) -> None:
    """InternLM2's second phase starts from equal weights under another base, and training it leaves the first alone."""
    longer = extend_context(model.to(torch.bfloat16), max_length=512, rope_base=LONG_ROPE_BASE)
    assert longer.config == replace(model.config, max_length=512, rope_base=1_000_000.0)
    for (name, before), after in zip(model.named_parameters(), longer.parameters(), strict=True):
        assert torch.equal(before, after), name
        assert before.data_ptr() != after.data_ptr(), name
        assert after.dtype == torch.bfloat16, name
    with torch.inference_mode():
        assert longer(drawn(512)).shape == (1, 512, 97)
        assert not torch.equal(longer(drawn(64)), model(drawn(64)))


def test_scaled_twice_keeps_the_first_length(scaled: Decoder) -> None:
    """The original length is that of training, not that of an earlier extrapolation."""
    config = extrapolate(scaled, max_length=800, factor=3.0).config
    assert (config.original_max_length, config.max_length, config.rope_factor) == (64, 800, 3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_factor": 2.0}, "need rope_scaling"),
        ({"rope_scaling": "yarn"}, "not 'yarn'"),
        ({"rope_scaling": "dynamic_ntk"}, "original_max_length must be between"),
        ({"rope_scaling": "dynamic_ntk", "original_max_length": 65}, "between 1 and max_length 64, not 65"),
        ({"rope_scaling": "dynamic_ntk", "original_max_length": 32, "rope_factor": 0.5}, "at least 1"),
        ({"rope_scaling": "dynamic_ntk", "original_max_length": 32, "n_heads": 24}, "head size above 2"),
    ],
)
def test_impossible_scalings_are_refused(config: DecoderConfig, change: dict[str, object], message: str) -> None:
    """A scaling that would be ignored or divide by zero is refused by name."""
    with pytest.raises(ValueError, match=message):
        replace(config, **change)  # type: ignore[arg-type]
