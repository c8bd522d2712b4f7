"""Which documents of a batch are the chosen and the rejected of one pair."""

from torch import Tensor

from models.training.examples import PADDING
from models.training.packing import PackedBatch


def pair_documents(batch: PackedBatch) -> Tensor:
    """The batch's document ids in ascending order, int64 [2 * pairs]: chosen, rejected, chosen, rejected, ….

    Raises ValueError when a document is without the other of its pair.
    """
    found = batch.document_ids[batch.document_ids != PADDING].unique()
    chosen, rejected = found[::2], found[1::2]
    if len(chosen) != len(rejected) or (chosen % 2 != 0).any() or (rejected != chosen + 1).any():
        raise ValueError(
            "the batch has documents that are not in pairs: pack Examples with documents_per_example 2, and split "
            "batches by rows only"
        )
    return found


def count_pairs(batch: PackedBatch) -> int:
    """Pairs in the batch; raises as `pair_documents`."""
    return len(pair_documents(batch)) // 2
