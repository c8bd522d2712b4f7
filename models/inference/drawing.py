"""The next token from logits: one uniform number per row picks it, by inverting the cumulated distribution."""

from __future__ import annotations

import torch
from torch import Tensor


def draw(logits: Tensor, temperature: Tensor, noise: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Tokens [M] int64 and their logprobs [M] float32 from logits [M, V].

    At a `temperature` [M] above 0 the token is the one whose share of the cumulated softmax, in the vocabulary's
    order, holds `noise` [M] in [0, 1); at 0 it is the likeliest. Only tokens of the mask `kept` [M, V] can be drawn.
    Logprobs, in nats, are of the whole softmax at the temperature (at 1 where it is 0), before any cut.
    """
    greedy = temperature <= 0
    scaled = logits.float() / torch.where(greedy, 1.0, temperature)[:, None]
    logprobs = scaled.log_softmax(-1)
    allowed = logprobs if kept is None else logprobs.masked_fill(~kept, float("-inf"))
    # In float32 the rounding of a sum over a large vocabulary would reach the tail's probabilities.
    cumulated = allowed.double().exp().cumsum(-1)
    drawn = torch.searchsorted(cumulated, noise[:, None] * cumulated[:, -1:], right=True)[:, 0]
    # Rounding may lead beyond the last token that can be drawn.
    last = logits.shape[1] - 1 - allowed.isfinite().flip(-1).int().argmax(-1)
    tokens = torch.where(greedy, allowed.argmax(-1), torch.minimum(drawn, last))
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


def kept_tokens(
    logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, allowed: Tensor | None = None
) -> Tensor:
    """The mask [M, V] of tokens that may be drawn: of those `allowed` the `top_k` likeliest (0: all), and of these the
    smallest set of likeliest whose probability, at the temperature and among them, reaches `top_p`.

    Equal logits are ordered by token id.
    """
    scaled = logits.double() / torch.where(temperature > 0, temperature.double(), 1.0)[:, None]
    if allowed is not None:
        scaled = scaled.masked_fill(~allowed, float("-inf"))
    ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
    rank = torch.arange(logits.shape[1], device=logits.device)
    beyond = (top_k > 0)[:, None] & (rank >= top_k[:, None])
    shares = ordered.masked_fill(beyond, float("-inf")).softmax(-1)
    before = shares.cumsum(-1) - shares
    kept = (shares > 0) & ((before < top_p[:, None]) | (rank == 0))
    return torch.zeros_like(kept).scatter(1, order, kept)
