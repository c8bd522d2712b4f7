"""Building a BM25 index from a stream of documents.

Words are counted in runs that fit in memory and spilled; then every run is written to its places in the whole index,
with scores from the statistics of all documents. In memory lie one run, the vocabulary, and ids and lengths.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
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
    read_words,
    term_scores,
)

# Texts that are tokenized at a time, and words that are counted at a time: neither changes the index (our defaults).
SLICE_DOCUMENTS = 20_000
RUN_WORDS = 16_000_000


def build_index(frames: Iterable[pl.DataFrame], folder: Path, plan: Bm25Plan | None = None) -> None:
    """Write the index of documents (`id`, `text`) into a folder: equal documents in equal order give equal bytes.

    Raises InputError when two documents have one id.
    """
    plan = plan or Bm25Plan()
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = Vocabulary()
    ids: list[pl.Series] = []
    lengths: list[np.ndarray] = []
    with tempfile.TemporaryDirectory(dir=folder) as spill:
        runs = [
            _spill(run, Path(spill) / f"{number}.npz")
            for number, run in enumerate(_runs(frames, vocabulary, ids, lengths, plan))
        ]
        _write_ids(folder, pl.concat(ids) if ids else pl.Series("id", [], pl.String))
        all_lengths = np.concatenate(lengths) if lengths else np.zeros(0, np.uint32)
        _merge(runs, folder, vocabulary, all_lengths, plan)


def _runs(
    frames: Iterable[pl.DataFrame],
    vocabulary: Vocabulary,
    ids: list[pl.Series],
    lengths: list[np.ndarray],
    plan: Bm25Plan,
) -> Iterator[Postings]:
    """Postings of about RUN_WORDS words at a time; ids and lengths of all documents are kept aside."""
    terms: list[np.ndarray] = []
    documents: list[np.ndarray] = []
    n_words = n_documents = 0
    for part in (part for frame in frames for part in frame.iter_slices(SLICE_DOCUMENTS)):
        words, length = read_words(part["text"], vocabulary, plan)
        ids.append(part["id"])
        lengths.append(length)
        terms.append(words)
        documents.append(np.repeat(np.arange(n_documents, n_documents + len(length)), length))
        n_documents += len(length)
        n_words += len(words)
        if n_words >= RUN_WORDS:
            yield count(np.concatenate(terms), np.concatenate(documents))
            terms, documents, n_words = [], [], 0
    if terms:
        yield count(np.concatenate(terms), np.concatenate(documents))


def _spill(run: Postings, path: Path) -> Path:
    np.savez(path, terms=run.terms, documents=run.documents, frequencies=run.frequencies)
    return path


def _write_ids(folder: Path, ids: pl.Series) -> None:
    order = ids.arg_sort()
    ordered = ids.gather(order).rename("id")
    if ordered.n_unique() < len(ordered):
        twice = ordered.filter(ordered.is_duplicated())[0]
        raise InputError(f"more than one document has the id {twice!r}", "index every document once")
    rows = np.empty(len(ids), np.uint32)
    rows[order.to_numpy()] = np.arange(len(ids), dtype=np.uint32)
    layout.write_strings(folder / layout.IDS, ordered)
    np.save(folder / layout.ROWS, rows)


def _merge(runs: list[Path], folder: Path, vocabulary: Vocabulary, lengths: np.ndarray, plan: Bm25Plan) -> None:
    """Write every run to its places; terms are numbered anew, in sorted order."""
    n_terms = len(vocabulary)
    terms = pl.Series("term", list(vocabulary.numbers), pl.String)
    order = terms.arg_sort()
    layout.write_strings(folder / layout.TERMS, terms.gather(order))
    numbers = np.empty(n_terms, np.int64)
    numbers[order.to_numpy()] = np.arange(n_terms)

    holding = np.zeros(n_terms, np.int64)
    for path in runs:
        holding += np.bincount(numbers[np.load(path)["terms"]], minlength=n_terms)
    starts = np.concatenate(([0], np.cumsum(holding)))
    idf = inverse_document_frequency(holding, len(lengths))
    average_length = float(lengths.mean()) if len(lengths) else 0.0

    documents = np.lib.format.open_memmap(folder / layout.DOCUMENTS, "w+", np.uint32, (int(starts[-1]),))
    scores = np.lib.format.open_memmap(folder / layout.SCORES, "w+", np.float32, (int(starts[-1]),))
    filled = starts[:-1].copy()
    for path in runs:
        run = np.load(path)
        of_term = numbers[run["terms"]]
        places = _places(of_term, filled)
        documents[places] = run["documents"]
        scores[places] = term_scores(run["frequencies"], lengths[run["documents"]], average_length, idf[of_term], plan)
        path.unlink()
    documents.flush()
    scores.flush()
    np.save(folder / layout.STARTS, starts)
    info = {"plan": asdict(plan), "documents": len(lengths), "average_length": average_length}
    (folder / layout.INFO).write_text(json.dumps(info, indent=1))


def _places(terms: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Where the postings of a run go, given where each term is filled up to; this is moved on.

    Postings of one term lie together in a run.
    """
    first = np.flatnonzero(np.diff(terms, prepend=-1))
    sizes = np.diff(first, append=len(terms))
    places = np.repeat(filled[terms[first]] - first, sizes) + np.arange(len(terms))
    filled[terms[first]] += sizes
    return places
