"""Sampling from a decoder in process: a response to every prompt, as padded tensors.

Token ids in, token ids out: nothing here knows text. What a row answers does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture.decoder import Decoder
from models.inference.batching import Draft, decode
from models.inference.decoding import DecodingModel


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
    if generator is None and temperature > 0:
        raise ValueError("sampling at a temperature above 0 needs a generator; the global random state is not used")
    if not (temperature >= 0 and 0 < top_p <= 1):
        raise ValueError(f"temperature {temperature} must be at least 0, and top_p {top_p} lie in (0, 1]")
    if not prompts or max_new_tokens < 1:
        raise ValueError(f"{len(prompts)} prompts and {max_new_tokens} new tokens: there must be at least one of each")
    model = DecodingModel(decoder, min(rows, len(prompts)))
    for index, prompt in enumerate(prompts):
        model.require_fit(len(prompt), max_new_tokens, f"prompt {index}")
    noise = torch.zeros(len(prompts), max_new_tokens, dtype=torch.float64)
    if temperature > 0:
        noise = torch.rand(noise.shape, dtype=torch.float64, generator=generator)
    drafts = [
        Draft(
            tuple(prompt), max_new_tokens, row, temperature=temperature, top_p=top_p, stop_ids=frozenset(stop_ids)
        )
        for prompt, row in zip(prompts, noise.tolist(), strict=True)
    ]  # fmt: skip
    for _ in decode(model, drafts):
        pass
    return _padded(drafts, decoder.output.weight.device)


def _padded(drafts: Sequence[Draft], device: torch.device) -> Samples:
    lengths = torch.tensor([len(draft.tokens) for draft in drafts])
    width = int(lengths.max())
    tokens = torch.tensor([draft.tokens + [0] * (width - len(draft.tokens)) for draft in drafts])
    logprobs = torch.tensor([draft.logprobs + [0.0] * (width - len(draft.logprobs)) for draft in drafts])
    reasons: list[str] = [draft.finish_reason for draft in drafts]
    return Samples(tokens.to(device), lengths.to(device), logprobs.to(device), reasons)
