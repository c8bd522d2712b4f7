"""What a model is trained to do, as plain functions of a model and a batch.

An objective answers a sum, never a mean: the loop divides by the trained tokens of the whole global batch, so that
gradient accumulation over ragged micro-batches weighs every token alike.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture.decoder import Decoder
from models.training.packing import IGNORED, PackedBatch

# Rows of logits alive at a time: 512 was the fastest of 128 to 1,024 on a CPU for vocabularies of 2,048 and 8,192.
LOGIT_ROWS = 512


def pretrain(model: Decoder, batch: PackedBatch) -> Tensor:
    """Summed negative log-likelihood, in nats, of the batch's targets that are not -100: a float32 scalar."""
    hidden = model.hidden_states(batch.tokens, batch.positions, batch.document_ids)
    return summed_nll(hidden.flatten(0, 1), model.output.weight, batch.targets.flatten())


def summed_nll(hidden: Tensor, output_weight: Tensor, targets: Tensor) -> Tensor:
    """Summed negative log-likelihood, in nats, of `targets` [N] after `hidden` [N, dim]: a float32 scalar.

    In float32 the logits are never whole in memory; their gradients are computed chunk by chunk with them.
    """
    if hidden.dtype == torch.float32:
        chunks = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=LOGIT_ROWS)
        return F.linear_cross_entropy(
            hidden, output_weight, targets, reduction="sum", ignore_index=IGNORED, options=chunks
        )
    # The chunked kernel answers in the dtype of its inputs: a bfloat16 sum over thousands of tokens has three digits.
    logits = F.linear(hidden, output_weight).float()
    return F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
