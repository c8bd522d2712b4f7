"""Bits per byte."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder
from models.evaluation.bits_per_byte import bits_per_byte, document_bits

BOS = 1


@pytest.fixture
def documents() -> list[NDArray[np.int64]]:
    """Ragged documents, among them an empty one, one of a token and some longer than the model's 64."""
    generator = np.random.default_rng(0)
    return [generator.integers(3, 97, size=length) for length in (12, 0, 64, 1, 65, 200, 30, 12)]


def test_equals_the_loss_of_transformers(model: Decoder, documents: list[NDArray[np.int64]], tmp_path: Path) -> None:
    """Bits are transformers' own loss, times the tokens it is the mean of, over ln 2, window by window."""
    from transformers import AutoModelForCausalLM

    save_folder(model, tmp_path, None)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    bits = document_bits(model, documents, bos_id=BOS)
    for document, found in zip(documents, bits, strict=True):
        expected = 0.0
        for start in range(0, len(document), 64):
            window = torch.from_numpy(np.concatenate(([BOS], document[start : start + 64])))[None]
            with torch.inference_mode():
                expected += theirs(window, labels=window).loss.item() * (window.shape[1] - 1) / np.log(2)
        assert found == pytest.approx(expected, rel=1e-5)
    assert bits[1] == 0.0
    assert bits[0] > 12


@pytest.mark.parametrize("batch_tokens", [1, 70, 300, 10_000])
def test_batching_changes_nothing(model: Decoder, documents: list[NDArray[np.int64]], batch_tokens: int) -> None:
    """Scores do not move with batch size or company, and stay with their documents."""
    alone = [document_bits(model, [document], bos_id=BOS).item() for document in documents]
    together = document_bits(model, documents, bos_id=BOS, batch_tokens=batch_tokens)
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    backwards = document_bits(model, documents[::-1], bos_id=BOS, batch_tokens=batch_tokens)
    np.testing.assert_allclose(backwards[::-1], alone, rtol=1e-5)


def test_long_documents_are_scored_in_disjoint_windows(model: Decoder, documents: list[NDArray[np.int64]]) -> None:
    """Every token of a long document is scored once: its bits are those of its pieces."""
    whole = document_bits(model, [documents[5]], bos_id=BOS, max_length=60)
    pieces = [documents[5][start : start + 60] for start in range(0, 200, 60)]
    np.testing.assert_allclose(whole.sum(), document_bits(model, pieces, bos_id=BOS).sum(), rtol=1e-6)


def test_uniform_model_needs_log2_of_the_vocabulary(model: Decoder) -> None:
    """A model that knows nothing needs log2(97) bits a token: the unit is bits, and the sum counts every token."""
    with torch.no_grad():
        model.output.weight.zero_()
    bits = document_bits(model, [np.arange(40)], bos_id=BOS)
    assert bits.item() == pytest.approx(40 * np.log2(97), rel=1e-6)


def test_window_beyond_the_model_is_refused(model: Decoder) -> None:
    """A window the model has no positions for is an error of the call."""
    with pytest.raises(ValueError, match="65 exceeds the model's 64"):
        document_bits(model, [], bos_id=BOS, max_length=65)


def test_bits_per_byte_is_a_ratio_of_sums() -> None:
    """Long documents weigh by their bytes; a set without text has no score."""
    assert bits_per_byte(np.array([10.0, 2.0]), np.array([2, 4])) == 2.0
    with pytest.raises(ValueError, match="at least one byte"):
        bits_per_byte(np.array([]), np.array([], dtype=np.int64))
