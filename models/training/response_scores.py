"""What a policy and a critic say of the tokens of responses.

Everywhere `tokens` are int64 [B, T], padded on the right, where padding is seen by nothing; `mask`, boolean, marks
the response tokens. The first token of a row has nothing before it and must not be in the mask.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture.decoder import Decoder
from models.architecture.heads import ValueModel
from models.training.cross_entropy import LOGIT_ROWS

# Logits up to which all of a batch are held at once (64 MiB in float32): a tenth of the time of chunks that forget
# them, for a vocabulary of 32 on a CPU.
WRITTEN_OUT = 2**24


def response_logprobs(decoder: Decoder, tokens: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities, in nats, of the response tokens given all before them: float32 [B, T], 0 elsewhere."""
    hidden = predicting_states(decoder, tokens, mask)
    picked = token_logprobs(hidden, decoder.output.weight, tokens[mask])
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, picked)


def values_before(critic: ValueModel, tokens: Tensor) -> Tensor:
    """The critic's values of what stands before each token, float32 [B, T]: those after the token one to the left."""
    return F.pad(critic.values(tokens)[:, :-1], (1, 0))


def predicting_states(decoder: Decoder, tokens: Tensor, mask: Tensor) -> Tensor:
    """The states [N, dim] that predict the N response tokens, row by row."""
    return decoder.hidden_states(tokens)[:, :-1][mask[:, 1:]]


def token_logprobs(hidden: Tensor, output_weight: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities, float32 [N], of `targets` [N] after `hidden` [N, dim]; see `cross_entropy.summed_nll`."""
    if hidden.dtype == torch.float32:
        chunks = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=LOGIT_ROWS)
        return -F.linear_cross_entropy(hidden, output_weight, targets, reduction="none", options=chunks)
    return -F.cross_entropy(F.linear(hidden, output_weight).float(), targets, reduction="none")


def logprobs_and_entropies(hidden: Tensor, output_weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`token_logprobs` and `token_entropies`, from logits that are computed once where they are few."""
    if len(hidden) * len(output_weight) > WRITTEN_OUT:
        return token_logprobs(hidden, output_weight, targets), token_entropies(hidden.detach(), output_weight)
    logprobs = F.linear(hidden, output_weight).float().log_softmax(-1)
    return -F.nll_loss(logprobs, targets, reduction="none"), _entropies(logprobs.detach())


@torch.no_grad()
def token_entropies(hidden: Tensor, output_weight: Tensor) -> Tensor:
    """Entropy, in nats, of the next-token distribution after `hidden` [N, dim]: float32 [N], without gradient."""
    parts = hidden.split(LOGIT_ROWS)
    return torch.cat([_entropies(F.linear(part, output_weight).float().log_softmax(-1)) for part in parts])


def _entropies(logprobs: Tensor) -> Tensor:
    # A token that cannot come adds nothing: 0 * -inf would be nan.
    return -torch.where(logprobs > float("-inf"), logprobs.exp() * logprobs, 0.0).sum(-1)
