"""Next-token loss without ever holding all logits."""

from typing import Any

import torch
from torch import Tensor

IGNORED = -100
# Rows of logits alive at a time: 512 was the fastest of 128 to 2,048 on a CPU for vocabularies of 2,048 and 8,192.
LOGIT_ROWS = 512


def summed_nll(hidden: Tensor, output_weight: Tensor, targets: Tensor) -> Tensor:
    """Summed negative log-likelihood, in nats, of `targets` [N] after `hidden` [N, dim]: a float32 scalar.

    `output_weight` is [vocabulary, dim]. Rows whose target is -100 cost nothing. Losses and probabilities are
    float32 whatever the inputs; their gradients are computed chunk by chunk with them, so that the logits' memory
    does not grow with N.
    """
    trained = (targets != IGNORED).nonzero().flatten()
    if len(trained) < len(targets):
        hidden, targets = hidden[trained], targets[trained]
    summed: Tensor = _SummedNll.apply(hidden, output_weight, targets)  # type: ignore[no-untyped-call]
    return summed


class _SummedNll(torch.autograd.Function):
    """Forward computes the gradients too: the logits are at hand only then."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        hidden_gradient = torch.empty_like(hidden) if needs_hidden else None
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for begin in range(0, len(targets), LOGIT_ROWS):
            rows, wanted = hidden[begin : begin + LOGIT_ROWS], targets[begin : begin + LOGIT_ROWS, None]
            logits = torch.matmul(rows, weight.t())
            probabilities = logits.softmax(dim=-1, dtype=torch.float32)
            # The normaliser from the likeliest token: the target's own probability may vanish in float32.
            largest, place = probabilities.max(dim=-1, keepdim=True)
            total += (logits.gather(1, place).float() - largest.log() - logits.gather(1, wanted).float()).sum()
            if not (needs_hidden or needs_weight):
                continue
            difference = probabilities.scatter_add_(1, wanted, torch.full_like(largest, -1.0)).to(weight.dtype)
            if hidden_gradient is not None:
                torch.matmul(difference, weight, out=hidden_gradient[begin : begin + LOGIT_ROWS])
            if weight_gradient is not None:
                weight_gradient += torch.matmul(difference.t(), rows)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden, weight = ctx.saved_tensors
        # The sum's gradient is 1 over a count: applied in float32, where small ones do not vanish.
        return (
            None if hidden is None else (hidden * gradients[0]).to(hidden.dtype),
            None if weight is None else (weight * gradients[0]).to(ctx.weight_dtype),
            None,
        )
