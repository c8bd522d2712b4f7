"""Next-token loss without ever holding all logits."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
# Rows of logits alive at a time: 512 was the fastest of 128 to 2,048 on a CPU for vocabularies of 2,048 and 8,192.
LOGIT_ROWS = 512
# A GPU needs larger products to be busy; not measured.
LOGIT_ROWS_GPU = 4096
# Below this a float32 probability has lost digits, or is 0.
SMALLEST = 1e-37

Difference = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def summed_nll(hidden: Tensor, output_weight: Tensor, targets: Tensor, compiled: bool = False) -> Tensor:
    """Summed negative log-likelihood, in nats, of `targets` [N] after `hidden` [N, dim]: a float32 scalar.

    `output_weight` is [vocabulary, dim]. Rows whose target is -100 cost nothing. Losses and probabilities are
    float32 whatever the inputs; their gradients are computed chunk by chunk with them, so that the logits' memory
    does not grow with N. `compiled` fuses what is done to the logits of a chunk; the result is the same but for
    rounding.
    """
    difference = _compiled_difference() if compiled else _difference
    summed: Tensor = _SummedNll.apply(hidden, output_weight, targets, difference)  # type: ignore[no-untyped-call]
    return summed


class _SummedNll(torch.autograd.Function):
    """Forward computes the gradients too: the logits are at hand only then."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, difference: Difference) -> Tensor:
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        hidden_gradient = torch.zeros_like(hidden) if needs_hidden else None
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        chunk = LOGIT_ROWS_GPU if hidden.is_cuda else LOGIT_ROWS
        for places in (targets != IGNORED).nonzero().flatten().split(chunk):
            rows, wanted = hidden[places], targets[places, None]
            logits = torch.matmul(rows, weight.t())
            probability, gradient = difference(logits, wanted)
            total += _nll(logits, wanted, probability).sum()
            if hidden_gradient is not None:
                hidden_gradient[places] = torch.matmul(gradient, weight)
            if weight_gradient is not None:
                weight_gradient += torch.matmul(gradient.t(), rows)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight = ctx.saved_tensors
        # The sum's gradient is 1 over a count: applied in float32, where small ones do not vanish.
        return (
            None if hidden is None else (hidden * gradients[0]).to(hidden.dtype),
            None if weight is None else (weight * gradients[0]).to(ctx.weight_dtype),
            None,
            None,
        )


def _nll(logits: Tensor, wanted: Tensor, probability: Tensor) -> Tensor:
    """Negative log-likelihoods, float32 [rows, 1], also where the probability vanishes in float32."""
    nll = -probability.log()
    vanished = (probability < SMALLEST).nonzero()[:, 0]
    if len(vanished):
        nll[vanished] = -logits[vanished].float().log_softmax(dim=-1).gather(1, wanted[vanished])
    return nll


def _difference(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The probability of each row's target, float32 [rows, 1], and the loss's gradient by the logits."""
    probabilities = logits.softmax(dim=-1, dtype=torch.float32)
    probability = probabilities.gather(1, wanted)
    return probability, probabilities.scatter_(1, wanted, probability - 1.0).to(logits.dtype)


@cache
def _compiled_difference() -> Difference:
    return torch.compile(_fusible_difference)


def _fusible_difference(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """As `_difference`, without the scattered write that a compiler cannot fuse."""
    probabilities = logits.softmax(dim=-1, dtype=torch.float32)
    is_wanted = torch.arange(logits.shape[1], device=logits.device) == wanted
    return probabilities.gather(1, wanted), (probabilities - is_wanted.to(torch.float32)).to(logits.dtype)
