"""Next-token loss without ever holding all logits."""

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


def summed_nll(hidden: Tensor, output_weight: Tensor, targets: Tensor) -> Tensor:
    """Summed negative log-likelihood, in nats, of `targets` [N] after `hidden` [N, dim]: a float32 scalar.

    `output_weight` is [vocabulary, dim]. Rows whose target is -100 cost nothing. Losses and probabilities are
    float32 whatever the inputs; their gradients are computed chunk by chunk with them, so that the logits' memory
    does not grow with N.
    """
    summed: Tensor = _SummedNll.apply(hidden, output_weight, targets)  # type: ignore[no-untyped-call]
    return summed


class _SummedNll(torch.autograd.Function):
    """Forward computes the gradients too: the logits are at hand only then."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        hidden_gradient = torch.zeros_like(hidden) if needs_hidden else None
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        trained = (targets != IGNORED).nonzero().flatten()
        size = min(len(trained), LOGIT_ROWS_GPU if hidden.is_cuda else LOGIT_ROWS)
        # Both are written anew for every chunk: fresh memory of this size costs more than the products.
        logits_memory = hidden.new_empty(size, len(weight))
        probabilities_memory = torch.empty_like(logits_memory, dtype=torch.float32)
        for places in trained.split(max(size, 1)):
            rows, wanted = hidden[places], targets[places, None]
            logits = torch.mm(rows, weight.t(), out=logits_memory[: len(rows)])
            probabilities = torch.softmax(logits, dim=-1, dtype=torch.float32, out=probabilities_memory[: len(rows)])
            probability = probabilities.gather(1, wanted)
            total += _nll(logits, wanted, probability).sum()
            gradient = logits.copy_(probabilities.scatter_(1, wanted, probability - 1.0))
            if hidden_gradient is not None:
                hidden_gradient[places] = torch.mm(gradient, weight)
            if weight_gradient is not None:
                weight_gradient += torch.mm(gradient.t(), rows)
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


def _nll(logits: Tensor, wanted: Tensor, probability: Tensor) -> Tensor:
    """Negative log-likelihoods, float32 [rows, 1], also where the probability vanishes in float32."""
    nll = -probability.log()
    vanished = (probability < SMALLEST).nonzero()[:, 0]
    if len(vanished):
        nll[vanished] = -logits[vanished].float().log_softmax(dim=-1).gather(1, wanted[vanished])
    return nll
