"""Scores of a window's end against the plain computation, and what the context does to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.evaluation.target_scores import target_scores

BOS = 1


@pytest.fixture(scope="module")
def model() -> Decoder:
    config = DecoderConfig(
        vocab_size=32, dim=16, n_layers=2, n_heads=2, n_kv_heads=1, ffn_dim=32, max_length=24, rope_base=10_000.0
    )
    return Decoder(config, seed=0)


def test_against_the_full_logits(model: Decoder) -> None:
    """One window at a time through the whole model, by `cross_entropy` over all its positions."""
    windows = np.random.default_rng(0).integers(3, 32, (5, 12))
    nats, right = target_scores(model, windows, target=4, bos_id=BOS, batch_tokens=24)
    for index, window in enumerate(windows):
        inputs = torch.tensor([[BOS, *window[:-1]]])
        with torch.inference_mode():
            logits = model.hidden_states(inputs)[0] @ model.output.weight.T
        wanted = torch.tensor(window)
        expected = F.cross_entropy(logits, wanted, reduction="none")[-4:].mean()
        assert nats[index] == pytest.approx(float(expected), abs=1e-5)
        assert right[index] == (logits.argmax(-1) == wanted)[-4:].double().mean()


def test_batches_do_not_matter(model: Decoder) -> None:
    """One window a pass, or all of them."""
    windows = np.random.default_rng(1).integers(3, 32, (7, 10))
    alone, together = (target_scores(model, windows, target=3, bos_id=BOS, batch_tokens=size)[0] for size in (1, 1000))
    assert alone == pytest.approx(together, abs=1e-6)


def test_no_windows(model: Decoder) -> None:
    """A document without a whole chunk has no scores."""
    nats, right = target_scores(model, np.zeros((0, 8), dtype=np.int64), target=2, bos_id=BOS)
    assert nats.shape == right.shape == (0,)


def test_windows_must_fit(model: Decoder) -> None:
    """A target outside the window and a window beyond the model's context are refused."""
    with pytest.raises(ValueError, match="target"):
        target_scores(model, np.zeros((1, 4), dtype=np.int64), target=5, bos_id=BOS)
    with pytest.raises(ValueError, match="exceed"):
        target_scores(model, np.zeros((1, 25), dtype=np.int64), target=5, bos_id=BOS)
