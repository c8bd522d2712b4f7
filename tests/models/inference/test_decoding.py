"""Decoding step by step: the compiled kernels, the cache, and continuous batching."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.inference.batching import Draft, decode
from models.inference.decoding import DecodingModel
from models.inference.drift import logprob_drift
from models.inference.kernels import BLOCK, TorchKernels, kernels_for

WIDE = DecoderConfig(vocab_size=97, dim=128, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=192, max_length=128)
DTYPES = [torch.float32, torch.bfloat16]


def steep(config: DecoderConfig, dtype: torch.dtype) -> Decoder:
    """Weights three times the initial ones: logits far enough apart that an error would show."""
    decoder = Decoder(config, seed=3)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(3.0 if parameter.ndim > 1 else 1.0)
    return decoder.to(dtype)


def drafts(count: int, seed: int = 0, temperature: float = 1.0, longest: int = 60) -> list[Draft]:
    rng = np.random.default_rng(seed)
    return [
        Draft(
            tuple(rng.integers(0, 97, rng.integers(1, 60)).tolist()),
            int(rng.integers(1, longest)),
            rng.random(longest).tolist(),
            temperature=temperature,
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("heads", [(4, 4, 32), (4, 2, 32), (4, 1, 64), (3, 1, 32)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_kernels_equal_their_definition(dtype: torch.dtype, heads: tuple[int, int, int]) -> None:
    """Every kernel against the same in torch, for every number of queries that share a key, at ragged lengths."""
    n_heads, n_kv_heads, dim = heads
    native, plain = kernels_for(torch.device("cpu"), dtype, dim), TorchKernels()
    if native.name != "native":
        pytest.skip("there is no C++ compiler")
    generator = torch.Generator().manual_seed(0)
    rows, blocks, group = 7, 3, n_heads // n_kv_heads

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    fused, both, hidden = drawn(rows, n_kv_heads * (group + 2) * dim), drawn(rows, 96), drawn(rows, 64)
    cos, sin, weight = drawn(BLOCK * blocks, dim), drawn(BLOCK * blocks, dim), drawn(64)
    caches = drawn(9, blocks, n_kv_heads, dim, BLOCK), drawn(9, blocks, n_kv_heads, BLOCK, dim)
    slots, places = torch.tensor([3, 0, 8, 1, 2, 5, 7]), torch.tensor([0, 31, 32, 95, 63, 5, 64])
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 4e-2, "rtol": 2e-2}
    found = []
    for kernels in (native, plain):
        keys, values = (cache.clone() for cache in caches)
        mixed = kernels.attend(fused, cos, sin, keys, values, slots, places)
        added = hidden.clone()
        norm = kernels.add_norm(added, hidden, weight, 1e-5)
        found.append([mixed, keys, values, added, norm, kernels.gate(both)])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, **tolerance)


def test_loading_the_kernels_leaves_arithmetic_alone() -> None:
    """Subnormal numbers stay what they are: training in the same process must not change."""
    kernels_for(torch.device("cpu"), torch.float32, 32)
    assert float(np.float32(1e-40) * np.float32(1.0)) > 0
    assert float(torch.full((64,), 1e-40).mul(1.0).sum()) > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config", [WIDE, replace(WIDE, dim=64)], ids=["native", "torch"])
def test_logprobs_are_the_training_forward_passes(config: DecoderConfig, dtype: torch.dtype) -> None:
    """What decoding says of its tokens is what the training forward pass says: 1e-4 nats in float32, a tenth in
    bfloat16, whose eight bits of mantissa round logits of this size by more than a hundredth."""
    decoder = steep(config, dtype)
    done = decode(DecodingModel(decoder, 8), drafts(20))
    drift = logprob_drift(decoder, [(draft.prompt, draft.tokens, draft.logprobs) for draft in done])
    assert drift.mean < drift.largest < (1e-4 if dtype == torch.float32 else 0.1)


def test_drift_is_the_difference() -> None:
    """Of one token whose logprob was told wrongly, and at a temperature."""
    decoder = steep(WIDE, torch.float32)
    logprobs = (decoder(torch.tensor([[5, 6]]))[0, -1] / 0.5).log_softmax(-1).tolist()
    drift = logprob_drift(decoder, [((5, 6), (7,), (logprobs[7] + 0.25,))], temperature=0.5)
    assert drift.largest == pytest.approx(0.25, abs=1e-5)
    with pytest.raises(ValueError, match="no answers"):
        logprob_drift(decoder, [])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_do_not_depend_on_the_batch(dtype: torch.dtype, temperature: float) -> None:
    """Alone, three at a time, or forty at once and in another order: every token and every bit of its logprob."""
    decoder = steep(WIDE, dtype)
    answers = []
    for slots, order in ((40, 1), (3, 1), (40, -1)):
        rows = drafts(40, temperature=temperature)
        list(decode(DecodingModel(decoder, slots), rows[::order]))
        answers.append([(row.tokens, row.logprobs) for row in rows])
    alone = drafts(40, temperature=temperature)
    for row in alone[:5]:
        list(decode(DecodingModel(decoder, 1), [row]))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][:5] == [(row.tokens, row.logprobs) for row in alone[:5]]


def test_a_group_reads_its_prompt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of one prompt share its reading, and answer as if each had read it."""
    decoder = steep(WIDE, torch.float32)
    read: list[int] = []
    prefill = DecodingModel.prefill
    monkeypatch.setattr(
        DecodingModel,
        "prefill",
        lambda self, prompts, slots: read.append(len(prompts)) or prefill(self, prompts, slots),
    )

    def samples(group: object) -> list[Draft]:
        rng = np.random.default_rng(5)
        return [Draft(tuple(range(2, 40)), 30, rng.random(30).tolist(), group=group) for _ in range(6)]

    together, apart = samples("one prompt"), samples(None)
    list(decode(DecodingModel(decoder, 6), together))
    list(decode(DecodingModel(decoder, 6), apart))
    assert read == [1, 6]
    assert [draft.tokens for draft in together] == [draft.tokens for draft in apart]
    assert len({tuple(draft.tokens) for draft in together}) == 6


def test_slots_are_taken_as_they_come_free() -> None:
    """An endless source is taken no faster than there is room, and short answers come before long ones."""
    decoder = steep(WIDE, torch.float32)
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield Draft((5, 6, 7), 50 if taken % 4 == 1 else 2, [0.5] * 50)

    answers = decode(DecodingModel(decoder, 8), endless())  # type: ignore[arg-type]
    first = [next(answers) for _ in range(6)]
    assert [len(each.tokens) for each in first] == [2] * 6
    assert taken <= 16


def test_the_room_can_be_used_to_its_end() -> None:
    """A prompt and its answer may fill the model's length exactly; one more token is refused."""
    decoder = steep(WIDE, torch.float32)
    model = DecodingModel(decoder, 2)
    (draft,) = decode(model, [Draft(tuple([3] * 100), 28, [0.1] * 28)])
    assert len(draft.tokens) == 28
    model.require_fit(100, 28, "prompt")
    with pytest.raises(ValueError, match="prompt has 101 tokens"):
        model.require_fit(101, 28, "prompt")
