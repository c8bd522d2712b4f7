"""Packed batches of whole examples: chats, and pairs of a chosen and a rejected document.

An example is never cut and a pair never parted: both would train on what no one wrote. Examples are packed into rows
by best-fit-decreasing (Ding et al. 2024, arXiv 2404.10830), within windows of a seeded shuffle, so that long and short
ones meet others in every epoch (our default).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.training.best_fit import best_fit
from models.training.cross_entropy import IGNORED
from models.training.packing import PackedBatch, StreamTooShort

PADDING = -1
# Rows of 4,096 tokens are 99.8 % full with this window when lengths are ragged (log-normal, mean 400 tokens).
WINDOW = 4096


@dataclass(frozen=True)
class Examples:
    """Tokenized examples of one document each, or of two: the chosen and the rejected.

    `tokens` is a flat array of unsigned integers, document i being `tokens[offsets[i]:offsets[i + 1]]`; `trained`
    says per token whether its prediction enters the loss. Example i has the documents from i * documents_per_example
    on, and the id `ids[i]`. Raises ValueError for arrays that do not fit together.
    """

    tokens: NDArray[np.unsignedinteger]
    offsets: NDArray[np.integer]
    trained: NDArray[np.bool_]
    ids: Sequence[str]
    documents_per_example: int = 1

    def __post_init__(self) -> None:
        offsets, documents = self.offsets, len(self.ids) * self.documents_per_example
        if self.documents_per_example not in (1, 2):
            raise ValueError(f"documents_per_example must be 1 or 2, not {self.documents_per_example}")
        if len(offsets) != documents + 1:
            raise ValueError(f"offsets must have {documents + 1} entries for {documents} documents, not {len(offsets)}")
        if offsets[0] != 0 or offsets[-1] != len(self.tokens) or (np.diff(offsets) < 0).any():
            raise ValueError(f"offsets must rise from 0 to the number of tokens, {len(self.tokens)}")
        if len(self.trained) != len(self.tokens):
            raise ValueError(f"trained must have one entry per token, {len(self.tokens)}, not {len(self.trained)}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per example, both documents of a pair together."""
        return np.diff(np.asarray(self.offsets, dtype=np.int64)[:: self.documents_per_example])

    def trained_per_document(self) -> NDArray[np.int64]:
        """Targets that enter the loss, per document: trained tokens that have a token before them."""
        counts = np.zeros(len(self.offsets) - 1, dtype=np.int64)
        filled = np.diff(self.offsets) > 0
        if filled.any():
            # Documents without tokens take no room, so each of the others ends where the next of them starts.
            starts = self.offsets[:-1][filled]
            counts[filled] = np.add.reduceat(self.trained, starts, dtype=np.int64) - self.trained[starts]
        return counts


def build_examples(
    rows: Iterable[tuple[str, Sequence[tuple[Sequence[int], Sequence[bool]]]]], documents_per_example: int = 1
) -> Examples:
    """Examples of rows (id, documents), a document being its token ids and trained marks, as `chat.render` gives it."""
    ids: list[str] = []
    tokens: list[NDArray[np.uint32]] = [np.empty(0, dtype=np.uint32)]
    trained: list[NDArray[np.bool_]] = [np.empty(0, dtype=np.bool_)]
    for name, documents in rows:
        if len(documents) != documents_per_example:
            raise ValueError(f"example {name} has {len(documents)} documents, not {documents_per_example}")
        ids.append(name)
        tokens.extend(np.asarray(document[0], dtype=np.uint32) for document in documents)
        trained.extend(np.asarray(document[1], dtype=np.bool_) for document in documents)
    offsets = np.cumsum([len(document) for document in tokens], dtype=np.int64)
    return Examples(np.concatenate(tokens), offsets, np.concatenate(trained), ids, documents_per_example)


def screen(
    examples: Examples, sequence_length: int, *, needs_trained: bool = True
) -> tuple[Examples, list[tuple[str, str]]]:
    """The examples that can be trained on, and (id, reason) of the others, for the ledger.

    Reasons are "empty" (a document without tokens), "oversize" (more tokens than a row of `sequence_length`, the
    documents of a pair together) and "nothing to train" (a document without a trained token after its first). The
    last is not asked of a reward model's pairs, which are scored and not predicted: `needs_trained` False.
    """
    sides = examples.documents_per_example
    lengths, trained = np.diff(examples.offsets), examples.trained_per_document()
    empty = (lengths == 0).reshape(-1, sides).any(axis=1)
    oversize = examples.lengths > sequence_length
    untrained = (trained == 0).reshape(-1, sides).any(axis=1) & needs_trained
    bad = empty | oversize | untrained
    reasons = np.select([empty, oversize], ["empty", "oversize"], "nothing to train")
    dropped = [(examples.ids[index], str(reasons[index])) for index in np.flatnonzero(bad).tolist()]
    keep_documents = np.repeat(~bad, sides)
    keep_tokens = np.repeat(keep_documents, lengths)
    kept = Examples(
        examples.tokens[keep_tokens],
        np.concatenate(([0], np.cumsum(lengths[keep_documents], dtype=np.int64))),
        examples.trained[keep_tokens],
        [examples.ids[index] for index in np.flatnonzero(~bad).tolist()],
        sides,
    )
    return kept, dropped


@dataclass(frozen=True)
class _Epoch:
    """One epoch's order: `drawn` [examples] by row, row r being `drawn[bounds[r]:bounds[r + 1]]`."""

    drawn: NDArray[np.int64]
    bounds: NDArray[np.int64]
    first_step: int


class PackedExamples:
    """Random access to batches of whole examples: a Source.

    Every epoch holds every example once, in an order of its own that depends on `seed` and the epoch alone; rows are
    padded with token 0, target -100 and document id -1, and an epoch's last batch is filled with rows of nothing else.
    Examples are packed within `window` of the shuffle. A document's id is documents_per_example * place + side: the
    place counts examples through all epochs in the order read, and side 0 is the chosen document of a pair.
    Holds 8 bytes per example and epoch. Raises ValueError for an example that cannot be in a row: `screen` first.
    """

    update_period = 1

    def __init__(
        self,
        examples: Examples,
        sequence_length: int,
        batch_rows: int,
        *,
        epochs: int = 1,
        seed: int = 0,
        window: int = WINDOW,
    ) -> None:
        for name, value in (("batch_rows", batch_rows), ("epochs", epochs), ("window", window)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        lengths = examples.lengths
        unfit = np.flatnonzero((lengths > sequence_length) | (lengths == 0))
        if len(unfit):
            raise ValueError(
                f"{len(unfit)} examples have no tokens or more than a row's {sequence_length}, the first being "
                f"{examples.ids[unfit[0]]} with {lengths[unfit[0]]}; drop them with `screen`"
            )
        self.sequence_length = sequence_length
        self.batch_rows = batch_rows
        self.batch_shape = (batch_rows, sequence_length)
        self._examples = examples
        self._epochs: list[_Epoch] = []
        self.steps = 0
        for epoch in range(epochs if len(examples) else 0):
            drawn, bounds = _pack_epoch(lengths, sequence_length, np.random.default_rng([seed, epoch]), window)
            self._epochs.append(_Epoch(drawn, bounds, self.steps))
            self.steps += -(-(len(bounds) - 1) // batch_rows)

    def require(self, steps: int) -> None:
        """Raises StreamTooShort unless there are `steps` batches."""
        if steps > self.steps:
            raise StreamTooShort(
                f"{steps} steps are planned, but {len(self._epochs)} epochs of {len(self._examples)} examples make "
                f"{self.steps} batches of {self.batch_rows} rows x {self.sequence_length} tokens; plan more epochs or "
                "fewer steps"
            )

    def row_ids(self, batch: PackedBatch) -> list[str]:
        """The ids of a batch's examples, in the order read."""
        places = (batch.document_ids[batch.document_ids != PADDING] // self._examples.documents_per_example).unique()
        epochs, within = np.divmod(places.cpu().numpy(), max(len(self._examples), 1))
        drawn = (int(self._epochs[epoch].drawn[place]) for epoch, place in zip(epochs, within, strict=True))
        return [self._examples.ids[example] for example in drawn]

    def largest_step(self, steps: int) -> int:
        """The first of the `steps` with the most trained tokens: all batches are of one shape, their targets not."""
        sides = self._examples.documents_per_example
        trained = self._examples.trained_per_document().reshape(-1, sides).sum(axis=1)
        per_step = [
            np.add.reduceat(trained[epoch.drawn], epoch.bounds[: -1 : self.batch_rows]) for epoch in self._epochs
        ]
        return int(np.argmax(np.concatenate(per_step)[:steps])) if per_step else 0

    def heaviest_batch(self, steps: int, model: object = None) -> PackedBatch:
        """The batch of `largest_step`."""
        return self.batch(self.largest_step(steps))

    def batch(self, step: int, model: object = None) -> PackedBatch:
        """The batch of a step, counted from 0, whatever the model. Raises StreamTooShort after the last."""
        if step < 0:
            raise ValueError(f"step {step} must not be negative")
        self.require(step + 1)
        number = max(index for index, epoch in enumerate(self._epochs) if epoch.first_step <= step)
        epoch, sides = self._epochs[number], self._examples.documents_per_example
        first_row = (step - epoch.first_step) * self.batch_rows
        bounds = epoch.bounds[first_row : first_row + self.batch_rows + 1]
        places = np.arange(bounds[0], bounds[-1])
        rows = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        documents = (epoch.drawn[places, None] * sides + np.arange(sides)).ravel()
        document_ids = ((number * len(self._examples) + places)[:, None] * sides + np.arange(sides)).ravel()
        return self._gather(documents, document_ids, np.repeat(rows, sides))

    def _gather(
        self, documents: NDArray[np.int64], document_ids: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> PackedBatch:
        """The documents one after the other, each in its row; `rows` must not fall."""
        offsets = self._examples.offsets
        starts = np.asarray(offsets[documents], dtype=np.int64)
        lengths = np.asarray(offsets[documents + 1], dtype=np.int64) - starts
        begins = np.cumsum(lengths) - lengths
        columns = begins - begins[np.searchsorted(rows, rows)]
        positions = np.arange(lengths.sum()) - np.repeat(begins, lengths)
        source = positions + np.repeat(starts, lengths)
        target = positions + np.repeat(rows * self.sequence_length + columns, lengths)
        following = np.minimum(source + 1, np.repeat(starts + lengths - 1, lengths))
        is_trained = self._examples.trained[following] & (following > source)
        fields = (
            (0, self._examples.tokens[source]),
            (IGNORED, np.where(is_trained, self._examples.tokens[following].astype(np.int64), IGNORED)),
            (0, positions),
            (PADDING, np.repeat(document_ids, lengths)),
        )
        whole = []
        for padding, values in fields:
            flat = np.full(self.batch_rows * self.sequence_length, padding, dtype=np.int64)
            flat[target] = values
            whole.append(torch.from_numpy(flat.reshape(self.batch_shape)))
        return PackedBatch(*whole)


def _pack_epoch(
    lengths: NDArray[np.int64], sequence_length: int, generator: np.random.Generator, window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The examples by row, and the rows' bounds in them.

    Rows are shuffled over the whole epoch: within a window the longest examples have the first ones.
    """
    order = generator.permutation(len(lengths))
    rows = np.empty(len(order), dtype=np.int64)
    n_rows = 0
    for begin in range(0, len(order), window):
        part = slice(begin, begin + window)
        found, n_found = best_fit(lengths[order[part]], sequence_length)
        rows[part] = found + n_rows
        n_rows += n_found
    rows = generator.permutation(n_rows)[rows]
    by_row = np.argsort(rows, kind="stable")
    return order[by_row], np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=n_rows))))
