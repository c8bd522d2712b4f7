"""Building a BM25 index from a stream of documents.

Words are counted in runs that fit in memory and spilled; then every run is written to its places in the whole index,
with scores from the statistics of all documents. In memory lie one run, the vocabulary, and ids and lengths.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from assets.core.errors import InputError
from assets.core.retrieval import layout
from assets.core.retrieval.plan import Bm25Plan
from assets.core.retrieval.postings import (
    Postings,
    Vocabulary,
    count,
    inverse_document_frequency,
    occurrences,
    term_scores,
)
from assets.core.retrieval.tokens import tokenize

# Texts that are split at a time, and words that are counted at a time: neither changes the index (our defaults).
SLICE_DOCUMENTS = 20_000
RUN_WORDS = 4_000_000


@dataclass
class Documents:
    """What is kept of all documents while they stream by: their ids and their lengths in words."""

    ids: list[pl.Series] = field(default_factory=lambda: [pl.Series("id", [], pl.String)])
    lengths: list[np.ndarray] = field(default_factory=lambda: [np.zeros(0, np.uint32)])
    number: int = 0

    def add(self, ids: pl.Series, lengths: np.ndarray) -> None:
        self.ids.append(ids)
        self.lengths.append(lengths)
        self.number += len(lengths)


def build_index(frames: Iterable[pl.DataFrame], folder: Path, plan: Bm25Plan | None = None) -> None:
    """Write the index of documents (`id`, `text`) into a folder: equal documents in equal order give equal bytes.

    Raises InputError when two documents have one id.
    """
    plan = plan or Bm25Plan()
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, documents = Vocabulary(), Documents()
    with tempfile.TemporaryDirectory(dir=folder) as spill:
        runs = []
        for number, run in enumerate(_runs(frames, vocabulary, documents, plan)):
            runs.append(Path(spill) / f"{number}.npz")
            np.savez(runs[-1], terms=run.terms, documents=run.documents, frequencies=run.frequencies)
        _write_ids(folder, pl.concat(documents.ids))
        numbers = _write_terms(folder, vocabulary)
        _write_postings(folder, runs, numbers, np.concatenate(documents.lengths), plan)


def _runs(
    frames: Iterable[pl.DataFrame], vocabulary: Vocabulary, documents: Documents, plan: Bm25Plan
) -> Iterator[Postings]:
    """Postings of about RUN_WORDS words at a time."""
    pending: list[np.ndarray] = []
    for rows in (rows for frame in frames for rows in frame.iter_slices(SLICE_DOCUMENTS)):
        texts = tokenize(rows["text"], stop_words=plan.stop_words)
        lengths = texts.list.len().to_numpy()
        terms = vocabulary.encode(texts.explode(empty_as_null=False))
        pending.append(occurrences(terms, lengths, documents.number))
        documents.add(rows["id"], lengths)
        if sum(map(len, pending)) >= RUN_WORDS:
            words, pending = np.concatenate(pending), []
            yield count(words)
    if pending:
        yield count(np.concatenate(pending))


def _write_ids(folder: Path, ids: pl.Series) -> None:
    """Write the ids in order, and the row of each document's."""
    order = ids.arg_sort()
    ordered = ids.gather(order)
    if ordered.n_unique() < len(ordered):
        twice = ordered.filter(ordered.is_duplicated())[0]
        raise InputError(f"more than one document has the id {twice!r}", "index every document once")
    layout.write_strings(folder / layout.IDS, ordered)
    np.save(folder / layout.ROWS, _inverse(order).astype(np.uint32))


def _write_terms(folder: Path, vocabulary: Vocabulary) -> np.ndarray:
    """Write the terms in order; of each number in the vocabulary, the term's number in the index."""
    terms = pl.Series("term", list(vocabulary.numbers), pl.String)
    order = terms.arg_sort()
    layout.write_strings(folder / layout.TERMS, terms.gather(order))
    return _inverse(order)


def _inverse(order: pl.Series) -> np.ndarray:
    places = np.empty(len(order), np.int64)
    places[order.to_numpy()] = np.arange(len(order))
    return places


def _write_postings(folder: Path, runs: list[Path], numbers: np.ndarray, lengths: np.ndarray, plan: Bm25Plan) -> None:
    """Write every run to its places, with scores; `numbers` are those of the terms in the index."""
    holding = np.zeros(len(numbers), np.int64)
    for path in runs:
        with np.load(path) as run:
            holding += np.bincount(numbers[run["terms"]], minlength=len(numbers))
    starts = np.concatenate(([0], np.cumsum(holding)))
    idf = inverse_document_frequency(holding, len(lengths))
    average_length = float(lengths.mean()) if len(lengths) else 0.0

    size = (int(starts[-1]),)
    documents = np.lib.format.open_memmap(folder / layout.DOCUMENTS, "w+", np.uint32, size)
    scores = np.lib.format.open_memmap(folder / layout.SCORES, "w+", np.float32, size)
    filled = starts[:-1].copy()
    for path in runs:
        with np.load(path) as run:
            terms, of, frequencies = numbers[run["terms"]], run["documents"], run["frequencies"]
        places = _places(terms, filled)
        documents[places] = of
        scores[places] = term_scores(frequencies, lengths[of], average_length, idf[terms], plan)
    documents.flush()
    scores.flush()
    np.save(folder / layout.STARTS, starts)
    info = {"plan": asdict(plan), "documents": len(lengths), "average_length": average_length}
    (folder / layout.INFO).write_text(json.dumps(info, indent=1))


def _places(terms: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Where the postings of a run go, given up to where each term is filled, which is moved on.

    Postings of one term lie together in a run.
    """
    first = np.flatnonzero(np.diff(terms, prepend=-1))
    sizes = np.diff(first, append=len(terms))
    places = np.repeat(filled[terms[first]] - first, sizes) + np.arange(len(terms))
    filled[terms[first]] += sizes
    return places
