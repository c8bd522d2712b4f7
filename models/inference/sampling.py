"""Sampling from a decoder in process: prompts of unequal length in one batch, with a key/value cache.

Token ids in, token ids out: nothing here knows text. The prompts are padded on the left, so that every row writes its
next token in the same column; a row's padding is another document to its attention, and its positions count from its
first token, so what a row answers does not depend on the rows beside it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture.attention import document_mask
from models.architecture.decoder import Decoder
from models.inference.incremental import empty_caches, next_logits


@dataclass(frozen=True)
class Samples:
    """One response per prompt.

    `tokens` [B, R] int64 and `logprobs` [B, R] float32 are 0 beyond a row's `lengths` [B]; a stop token is part of
    its response. `logprobs`, in nats, are those of the whole distribution at the sampling temperature (at 1 for
    greedy sampling), before top-p cuts it: what a trainer recomputes. `finish_reason` is "stop" or "length".
    """

    tokens: Tensor
    lengths: Tensor
    logprobs: Tensor
    finish_reason: list[str]

    def responses(self) -> list[list[int]]:
        """Each row's token ids without padding."""
        return [row[:length] for row, length in zip(self.tokens.tolist(), self.lengths.tolist(), strict=True)]


@torch.no_grad()
def sample(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 0.9,
    stop_ids: Collection[int] = (),
    generator: torch.Generator | None = None,
    rows: int = 256,
) -> Samples:
    """One response to each prompt, at most `rows` at a time (that bounds memory only).

    A token is drawn from the smallest set of likeliest tokens whose probability at `temperature` reaches `top_p`
    (default: InternLM2's for PPO, arXiv 2403.17297, section 4.2.3); temperature 0 takes the likeliest. `generator`, on
    the CPU, gives one number per row and place, drawn before all else: a row's noise depends on its seed and place
    alone. Raises ValueError for an empty prompt, one that leaves no room for the response, or sampling without a
    generator.
    """
    _require_fit(decoder, prompts, max_new_tokens)
    if generator is None and temperature > 0:
        raise ValueError("sampling at a temperature above 0 needs a generator; the global random state is not used")
    if not (temperature >= 0 and 0 < top_p <= 1):
        raise ValueError(f"temperature {temperature} must be at least 0, and top_p {top_p} lie in (0, 1]")
    noise = torch.zeros(len(prompts), max_new_tokens, dtype=torch.float64)
    if temperature > 0:
        noise = torch.rand(noise.shape, dtype=torch.float64, generator=generator)
    stops = torch.tensor(sorted(stop_ids), dtype=torch.int64, device=decoder.output.weight.device)
    parts = [
        _sample_rows(decoder, prompts[first : first + rows], noise[first : first + rows], temperature, top_p, stops)
        for first in range(0, len(prompts), rows)
    ]
    tokens, lengths, logprobs = (torch.cat(columns) for columns in zip(*parts, strict=True))
    longest = int(lengths.max())
    last = tokens.gather(1, lengths[:, None] - 1)[:, 0]
    reasons = ["stop" if stopped else "length" for stopped in torch.isin(last, stops).tolist()]
    return Samples(tokens[:, :longest], lengths, logprobs[:, :longest], reasons)


def choose(logits: Tensor, temperature: float, top_p: float, noise: Tensor) -> Tensor:
    """The token [B] that uniform `noise` [B] in [0, 1) picks from logits [B, V], by inverting the distribution."""
    if temperature == 0:
        return logits.argmax(-1)
    # In float32 the rounding of a sum over a large vocabulary would reach the tail's probabilities.
    sorted_probabilities, order = (logits.double() / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    cumulative = sorted_probabilities.cumsum(-1)
    last = (F.pad(cumulative[:, :-1], (1, 0)) < top_p).sum(-1, keepdim=True) - 1
    drawn = torch.searchsorted(cumulative, noise[:, None] * cumulative.gather(1, last), right=True)
    return order.gather(1, torch.minimum(drawn, last))[:, 0]


def _sample_rows(
    decoder: Decoder, prompts: Sequence[Sequence[int]], noise: Tensor, temperature: float, top_p: float, stops: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [B, R], lengths [B] and logprobs [B, R] with R the most new tokens, the width of `noise`."""
    weight = decoder.output.weight
    widest = max(map(len, prompts))
    padding = torch.tensor([widest - len(prompt) for prompt in prompts], device=weight.device)[:, None]
    columns = torch.arange(widest + noise.shape[1], device=weight.device)[None]
    real = columns >= padding
    unseen = torch.zeros(real.shape, dtype=weight.dtype, device=weight.device).masked_fill_(~real, float("-inf"))
    positions = (columns - padding).clamp_(min=0)
    caches = empty_caches(decoder, len(prompts), columns.shape[1])
    read = torch.tensor([[0] * (widest - len(prompt)) + list(prompt) for prompt in prompts], device=weight.device)
    mask, begin = document_mask(real[:, :widest].long(), weight.dtype), 0
    tokens = torch.zeros(noise.shape, dtype=torch.int64, device=weight.device)
    logprobs = torch.zeros(noise.shape, dtype=torch.float32, device=weight.device)
    lengths = torch.zeros(len(prompts), dtype=torch.int64, device=weight.device)
    going = torch.ones(len(prompts), dtype=torch.bool, device=weight.device)
    for place in range(noise.shape[1]):
        end = begin + read.shape[1]
        logits = next_logits(decoder, read, positions[:, begin:end], mask, caches, begin)
        chosen = choose(logits, temperature, top_p, noise[:, place].to(weight.device))
        picked = (logits / (temperature or 1.0)).log_softmax(-1).gather(1, chosen[:, None])[:, 0]
        tokens[:, place], logprobs[:, place] = chosen * going, picked * going
        lengths += going
        going = going & ~torch.isin(chosen, stops)
        if not going.any():
            break
        read, begin = chosen[:, None], end
        mask = unseen[:, None, None, : end + 1]
    return tokens, lengths, logprobs


def _require_fit(decoder: Decoder, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
    if not prompts or max_new_tokens < 1:
        raise ValueError(f"{len(prompts)} prompts and {max_new_tokens} new tokens: there must be at least one of each")
    # Beyond its rotation table a scaled decoder turns all of a document anew with every token: no cache can follow.
    room = len(decoder.get_buffer("cos")) - max_new_tokens
    for index, prompt in enumerate(prompts):
        if not 0 < len(prompt) <= room:
            raise ValueError(
                f"prompt {index} has {len(prompt)} tokens; with {max_new_tokens} new ones it must have 1 to {room} to "
                "fit the length the model was trained for"
            )
