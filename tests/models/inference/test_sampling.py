"""Sampling from a decoder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder
from models.inference.sampling import Samples, sample

PROMPTS = [[5, 17, 60], [9], [1, 2, 3, 4, 5, 6, 7, 8, 90, 33, 21], [44, 44]]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_greedy_equals_transformers(model: Decoder, tmp_path: Path) -> None:
    """The same weights answer the same tokens in the reference implementation, prompt by prompt."""
    save_folder(model, tmp_path, None)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path)
    found = sample(model, PROMPTS, 20, temperature=0.0)
    assert found.finish_reason == ["length"] * 4
    for prompt, response in zip(PROMPTS, found.responses(), strict=True):
        inputs = torch.tensor([prompt])
        whole = reference.generate(
            inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=20, do_sample=False, pad_token_id=0
        )
        assert response == whole[0, len(prompt) :].tolist()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_do_not_depend_on_each_other(model: Decoder, temperature: float) -> None:
    """A prompt answers alone what it answers beside longer and shorter ones: padding changes nothing."""
    noise_rows = [seeded(9), seeded(9)]
    batch = sample(model, PROMPTS, 12, temperature, generator=noise_rows[0])
    # The noise of the first row is the first drawn, whatever rows follow.
    alone = sample(model, PROMPTS[:1], 12, temperature, generator=noise_rows[1])
    assert alone.responses()[0] == batch.responses()[0]
    torch.testing.assert_close(alone.logprobs[0], batch.logprobs[0], atol=1e-4, rtol=1e-4)
    if temperature == 0:
        for prompt, response in zip(PROMPTS, batch.responses(), strict=True):
            assert sample(model, [prompt], 12, 0.0).responses() == [response]


def test_chunks_of_rows_change_nothing(model: Decoder) -> None:
    """How many rows are computed at a time is a matter of memory: noise and tokens stay."""
    whole = sample(model, PROMPTS, 12, generator=seeded())
    parts = sample(model, PROMPTS, 12, generator=seeded(), rows=1)
    assert whole.responses() == parts.responses()
    assert whole.finish_reason == parts.finish_reason


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_are_the_untruncated_models(model: Decoder, temperature: float) -> None:
    """A trainer that reads prompt and response anew finds the sampler's logprobs, though top-p cut the draw."""
    found = sample(model, PROMPTS, 15, temperature, top_p=0.5, generator=seeded(1))
    for row, (prompt, response) in enumerate(zip(PROMPTS, found.responses(), strict=True)):
        logits = model(torch.tensor([prompt + response]))[0, len(prompt) - 1 : -1].double() / (temperature or 1.0)
        expected = logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None])[:, 0]
        torch.testing.assert_close(found.logprobs[row].double(), expected, atol=1e-4, rtol=1e-4)


def test_a_decoders_frequencies_are_its_softmax(config: DecoderConfig) -> None:
    """The same for whole sequences of two tokens: the second is drawn from the distribution after the first."""
    decoder = Decoder(replace(config, vocab_size=3), seed=1)
    with torch.no_grad():
        decoder.output.weight.mul_(20)
        first = decoder(torch.tensor([[2]]))[0, -1].double().softmax(0)
        pairs = torch.tensor([[2, token] for token in range(3)])
        joint = first[:, None] * decoder(pairs)[:, -1].double().softmax(-1)
    draws = 6000
    found = sample(decoder, [[2]] * draws, 2, top_p=1.0, generator=seeded(3), rows=2000)
    seen = torch.bincount(found.tokens[:, 0] * 3 + found.tokens[:, 1], minlength=9)
    assert chisquare(seen.numpy(), (joint.flatten() * draws).numpy()).pvalue > 0.01


def test_stop_token_ends_its_row_alone(model: Decoder) -> None:
    """The stop token is the last of its response and nothing follows it, while other rows go on as without it."""
    free = sample(model, PROMPTS, 12, temperature=0.0)
    stop = free.responses()[2][4]
    stopped = sample(model, PROMPTS, 12, temperature=0.0, stop_ids=[stop, 96])
    for before, after, reason in zip(free.responses(), stopped.responses(), stopped.finish_reason, strict=True):
        ends = [place for place, token in enumerate(before) if token in (stop, 96)]
        assert after == before[: ends[0] + 1 if ends else 12]
        assert reason == ("stop" if ends else "length")
    assert set(stopped.finish_reason) == {"stop", "length"}
    assert_padded_with_zeros(stopped)


def assert_padded_with_zeros(samples: Samples) -> None:
    beyond = torch.arange(samples.tokens.shape[1]) >= samples.lengths[:, None]
    assert beyond.any()
    assert samples.tokens[beyond].abs().sum() == 0
    assert samples.logprobs[beyond].abs().sum() == 0


def test_all_rows_stopped_ends_early(model: Decoder) -> None:
    """When every row has stopped, no further token is computed or kept."""
    found = sample(model, PROMPTS, 12, generator=seeded(), stop_ids=range(97))
    assert found.tokens.shape == (4, 1)
    assert found.finish_reason == ["stop"] * 4


def test_noise_comes_from_the_generator_alone(model: Decoder) -> None:
    """Equal seeds sample equally whatever the global random state, which stays as it was; other seeds differ."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = sample(model, PROMPTS, 12, generator=seeded(4))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(2)
    assert sample(model, PROMPTS, 12, generator=seeded(4)).responses() == first.responses()
    assert sample(model, PROMPTS, 12, generator=seeded(5)).responses() != first.responses()


def test_bfloat16_samples(model: Decoder) -> None:
    """A bfloat16 decoder samples, its logprobs in float32."""
    found = sample(model.bfloat16(), PROMPTS, 5, generator=seeded())
    assert found.logprobs.dtype == torch.float32
    assert (found.logprobs <= 0).all()


def test_what_cannot_be_sampled_is_refused(model: Decoder) -> None:
    """Empty prompts, prompts without room, missing seeds and impossible settings are errors that say so."""
    with pytest.raises(ValueError, match="prompt 1 has 0 tokens"):
        sample(model, [[1], []], 5, temperature=0.0)
    with pytest.raises(ValueError, match=r"prompt 0 has 60 tokens; with 5 new ones it must have 1 to 59"):
        sample(model, [[1] * 60], 5, temperature=0.0)
    with pytest.raises(ValueError, match="needs a generator"):
        sample(model, [[1]], 5)
    with pytest.raises(ValueError, match="top_p 0"):
        sample(model, [[1]], 5, top_p=0.0, generator=seeded())
    with pytest.raises(ValueError, match="0 prompts"):
        sample(model, [], 5, temperature=0.0)
