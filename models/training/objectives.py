"""What a model is trained to do, as plain functions of a model and a batch.

An objective answers a sum, never a mean: the loop divides by the trained tokens of the whole global batch, so that
gradient accumulation over ragged micro-batches weighs every token alike.
"""

import torch.nn.functional as F
from torch import Tensor

from models.architecture.decoder import Decoder
from models.training.packing import IGNORED, PackedBatch


def pretrain(model: Decoder, batch: PackedBatch) -> Tensor:
    """Summed negative log-likelihood, in nats, of the batch's targets that are not -100: a float32 scalar."""
    logits = model(batch.tokens, batch.positions, batch.document_ids)
    return F.cross_entropy(
        logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
