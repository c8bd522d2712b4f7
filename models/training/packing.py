"""Packed batches as a pure function of the step: documents laid end to end, cut into rows of equal length.

InternLM2 cuts over-long documents and reuses the remainder (arXiv 2403.17297, section 3.3.1): a document that meets
the right edge of a row goes on in the next one. Nothing but the asked step's tokens is ever gathered, so the token
array may be memory mapped and as large as the disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.cross_entropy import IGNORED


@dataclass(frozen=True)
class PackedBatch:
    """One step's rows: four int64 tensors [B, L].

    `targets` is the next token of the same document, also across the row's right edge, and -100 at a document's last
    token. `positions` count from 0 at each document's start and again at the row's left edge, where a cut document
    goes on without its earlier tokens. `document_ids` are places in the draw order, so a document drawn twice in a
    row is two documents.
    """

    tokens: Tensor
    targets: Tensor
    positions: Tensor
    document_ids: Tensor

    @property
    def n_tokens(self) -> int:
        """Tokens that the model reads, padding included."""
        return self.tokens.numel()

    @property
    def trained_tokens(self) -> int:
        """Number of targets that enter the loss."""
        return int((self.targets != IGNORED).sum())

    def split(self, parts: int) -> list["PackedBatch"]:
        """The rows in order, in `parts` batches of equal size."""
        columns = (self.tokens, self.targets, self.positions, self.document_ids)
        return [PackedBatch(*rows) for rows in zip(*(column.chunk(parts) for column in columns), strict=True)]

    def to(self, device: torch.device) -> "PackedBatch":
        """The same batch on `device`."""
        columns = (self.tokens, self.targets, self.positions, self.document_ids)
        return PackedBatch(*(column.to(device) for column in columns))


class StreamTooShort(ValueError):
    """The drawn documents hold fewer tokens than the asked step needs."""


class PackedStream:
    """Random access to the batches of a token stream.

    `tokens` is a flat array of unsigned integers, document i being `tokens[offsets[i]:offsets[i + 1]]`, its special
    tokens included; `offsets` is [documents + 1]; `draw_order` holds document indices in the order they are read
    (repeats allowed), and `used_tokens` how many of a drawn document's first tokens are read, by default all. Row r
    of the whole run covers stream positions [r * L, (r + 1) * L); step s has the rows s * B .. (s + 1) * B - 1.
    `names` are the documents' ids, for error messages. Raises ValueError for offsets, indices or counts that do not
    fit.
    """

    update_period = 1

    def __init__(
        self,
        tokens: NDArray[np.unsignedinteger],
        offsets: NDArray[np.integer],
        draw_order: NDArray[np.integer],
        sequence_length: int,
        batch_rows: int,
        used_tokens: NDArray[np.integer] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        if sequence_length < 1 or batch_rows < 1:
            raise ValueError(f"sequence_length {sequence_length} and batch_rows {batch_rows} must be at least 1")
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(tokens) or (np.diff(offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to the number of tokens, {len(tokens)}")
        documents = len(offsets) - 1
        if len(draw_order) and not 0 <= draw_order.min() <= draw_order.max() < documents:
            raise ValueError(f"draw_order must hold indices of the {documents} documents, 0 to {documents - 1}")
        self.sequence_length = sequence_length
        self.batch_rows = batch_rows
        self.batch_shape = (batch_rows, sequence_length)
        self._tokens = tokens
        self._draw_order = draw_order
        self._names = names
        self._starts = np.asarray(offsets[:-1], dtype=np.int64)[draw_order]
        lengths = np.asarray(offsets[1:], dtype=np.int64)[draw_order] - self._starts
        if used_tokens is not None:
            if len(used_tokens) != len(lengths) or (used_tokens > lengths).any() or (used_tokens < 0).any():
                raise ValueError("used_tokens must hold one count per draw, within the drawn document's length")
            lengths = np.asarray(used_tokens, dtype=np.int64)
        # bounds[i] and bounds[i + 1] enclose the i-th drawn document in the stream.
        self._bounds = np.concatenate(([0], np.cumsum(lengths)))

    @property
    def total_tokens(self) -> int:
        """Tokens in all drawn documents."""
        return int(self._bounds[-1])

    @property
    def steps(self) -> int:
        """Whole batches the stream holds."""
        return self.total_tokens // (self.batch_rows * self.sequence_length)

    def require(self, steps: int) -> None:
        """Raises StreamTooShort unless the stream holds `steps` whole batches."""
        if steps > self.steps:
            raise StreamTooShort(
                f"{steps} steps of {self.batch_rows} rows x {self.sequence_length} tokens need "
                f"{steps * self.batch_rows * self.sequence_length} tokens, but the {len(self._starts)} drawn documents "
                f"hold {self.total_tokens}, enough for {self.steps} steps; draw more documents or plan fewer steps"
            )

    def row_ids(self, batch: PackedBatch) -> list[str]:
        """The documents of a batch in the order read: their names, or their indices without names."""
        drawn = [int(self._draw_order[place]) for place in batch.document_ids.unique().tolist()]
        return [self._names[index] if self._names is not None else str(index) for index in drawn]

    def heaviest_batch(self, steps: int, model: object = None) -> PackedBatch:
        """The first: all batches are full and of one shape."""
        return self.batch(0)

    def batch(self, step: int, model: object = None) -> PackedBatch:
        """The batch of a step, counted from 0, whatever the model.

        Raises StreamTooShort when the stream ends before it does.
        """
        if step < 0:
            raise ValueError(f"step {step} must not be negative")
        self.require(step + 1)
        size = self.batch_rows * self.sequence_length
        stream = np.arange(step * size, (step + 1) * size)
        drawn = np.searchsorted(self._bounds, stream, side="right") - 1
        begins = self._bounds[drawn]
        source = self._starts[drawn] + stream - begins
        tokens = self._tokens[source].astype(np.int64)
        has_next = stream + 1 < self._bounds[drawn + 1]
        targets = np.where(has_next, self._tokens[np.where(has_next, source + 1, source)].astype(np.int64), IGNORED)
        row_starts = stream - stream % self.sequence_length
        positions = stream - np.maximum(begins, row_starts)
        shape = (self.batch_rows, self.sequence_length)
        return PackedBatch(*(torch.from_numpy(x.reshape(shape)) for x in (tokens, targets, positions, drawn)))
