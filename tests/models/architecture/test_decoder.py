"""The decoder as a whole."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder

LENGTHS = (5, 1, 12, 9, 3)


def documents() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 97, (length,), generator=generator) for length in LENGTHS]


def packed_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All documents in one row: tokens, positions, document ids."""
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    ids = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    return torch.cat(documents())[None], positions[None], ids[None]


def test_packed_logits_equal_unpacked(model: Decoder) -> None:
    """Packing changes no document's logits: nothing leaks across documents and positions are right."""
    packed = model(*packed_inputs())[0].split(LENGTHS)
    for found, document in zip(packed, documents(), strict=True):
        torch.testing.assert_close(found, model(document[None])[0], atol=1e-5, rtol=1e-5)


def test_packed_gradients_equal_unpacked(model: Decoder) -> None:
    """Training on a packed row moves the weights as training on its documents does."""
    losses = [F.cross_entropy(model(d[None])[0, :-1], d[1:], reduction="sum") for d in documents() if len(d) > 1]
    names, parameters = zip(*model.named_parameters(), strict=True)
    expected = torch.autograd.grad(torch.stack(losses).sum(), parameters)
    tokens, positions, ids = packed_inputs()
    targets = torch.where(ids[0, 1:] == ids[0, :-1], tokens[0, 1:], -100)
    loss = F.cross_entropy(model(tokens, positions, ids)[0, :-1], targets, reduction="sum")
    for name, found, wanted in zip(names, torch.autograd.grad(loss, parameters), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4, msg=name)


def test_leak_would_be_seen(model: Decoder) -> None:
    """Without document ids the same row has other logits, so the equalities above can fail."""
    tokens, positions, ids = packed_inputs()
    apart = (model(tokens, positions) - model(tokens, positions, ids)).abs().amax(dim=(0, 2))
    assert apart[: LENGTHS[0]].max() < 1e-5
    assert apart[LENGTHS[0] :].min() > 1e-2


def test_future_tokens_change_nothing(model: Decoder) -> None:
    """Attention is causal on the path without a mask, too."""
    tokens = torch.cat(documents())[None]
    changed = tokens.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % 97
    torch.testing.assert_close(model(tokens)[:, :20], model(changed)[:, :20])
    assert not torch.allclose(model(tokens)[:, 20:], model(changed)[:, 20:])


def test_weights_come_from_the_seed_alone(config: DecoderConfig) -> None:
    """Equal seeds give equal models whatever was drawn before, and building one draws nothing from the global state."""
    torch.manual_seed(1)
    first, state = Decoder(config, seed=5), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    second, third = Decoder(config, seed=5), Decoder(config, seed=6)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.tok_embeddings.weight, third.tok_embeddings.weight)


def test_initial_spread(config: DecoderConfig) -> None:
    """Matrices start at 0.02, what writes to the residual stream at 0.02 / sqrt(2 layers), gains at one."""
    decoder = Decoder(replace(config, dim=192, n_layers=8))
    layer = decoder.layers[3].get_submodule("attention")
    assert layer.get_parameter("wqkv.weight").std().item() == pytest.approx(0.02, rel=0.03)
    assert layer.get_parameter("wo.weight").std().item() == pytest.approx(0.02 / 4, rel=0.03)
    assert decoder.layers[3].get_parameter("feed_forward.w2.weight").std().item() == pytest.approx(0.02 / 4, rel=0.03)
    assert torch.equal(decoder.norm.weight, torch.ones(192))


def test_too_long_rows_are_refused(model: Decoder) -> None:
    """Beyond max_length there is no rotation: an error that says so, not an index out of range."""
    with pytest.raises(ValueError, match="max_length of 64"):
        model(torch.zeros(1, 65, dtype=torch.int64))


def test_tied_embeddings_are_one_tensor(config: DecoderConfig) -> None:
    """With tied embeddings the output reads the embedding itself, not a copy that would drift in training."""
    decoder = Decoder(replace(config, tie_embeddings=True))
    assert decoder.output.weight is decoder.tok_embeddings.weight
