"""A decoder and a ragged corpus small enough for every test to train on."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small gain nothing from threads, and lose seconds to them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def config() -> DecoderConfig:
    """Two layers, three query heads per key/value head."""
    return DecoderConfig(vocab_size=97, dim=48, n_layers=2, n_heads=6, n_kv_heads=2, ffn_dim=80, max_length=64)


@pytest.fixture
def model(config: DecoderConfig) -> Decoder:
    """Weights five times the initial ones, and uneven gains, so that every part moves the logits."""
    decoder = Decoder(config, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(5.0) if parameter.ndim > 1 else parameter.uniform_(0.5, 1.5, generator=generator)
    return decoder


@pytest.fixture
def corpus() -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Flat tokens and offsets of 300 documents of 2 to 60 tokens that count upwards: learnable, and ragged."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 61, size=300)
    starts = generator.integers(0, 97, size=300)
    tokens = [(start + np.arange(length)) % 97 for start, length in zip(starts, lengths, strict=True)]
    return np.concatenate(tokens).astype(np.uint32), np.concatenate(([0], np.cumsum(lengths)))
