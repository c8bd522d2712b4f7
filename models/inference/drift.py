"""How far an engine's logprobs are from those of the training forward pass: what importance ratios would hide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from models.architecture.decoder import Decoder


class Drift(NamedTuple):
    """Absolute differences of token logprobs, in nats."""

    mean: float
    largest: float


@torch.no_grad()
def logprob_drift(
    decoder: Decoder, answers: Iterable[tuple[Sequence[int], Sequence[int], Sequence[float]]], temperature: float = 1.0
) -> Drift:
    """Over answers, each its prompt's ids, its own ids and its logprobs at `temperature` (0: at 1), read anew one by
    one by the decoder as it trains. Raises ValueError when there are none."""
    gaps = []
    for prompt, tokens, logprobs in answers:
        read = torch.tensor([[*prompt, *tokens]], device=decoder.output.weight.device)
        logits = decoder(read)[0, len(prompt) - 1 : -1].float() / (temperature or 1.0)
        expected = logits.log_softmax(-1)[range(len(tokens)), list(tokens)]
        gaps.append((expected.cpu() - torch.tensor(logprobs)).abs())
    if not gaps:
        raise ValueError("there are no answers to compare")
    every = torch.cat(gaps)
    return Drift(every.mean().item(), every.max().item())
