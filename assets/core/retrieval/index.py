"""A BM25 index in a folder: built from a stream of documents, and searched. Postings, scores and search are bm25s's.

Beside the files of bm25s lie `index.json` (the plan, numbers of documents and of distinct words) and `ids.arrow`: the
ids of all documents, sorted. Documents are numbered in that order.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from os import sched_getaffinity
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assets.core.errors import InputError
from assets.core.retrieval.plan import Bm25Plan
from assets.core.retrieval.tokens import Vocabulary, tokenize

HIT_SCHEMA = {"query": pl.Int64, "rank": pl.Int64, "id": pl.String, "score": pl.Float64}
INFO, IDS = "index.json", "ids.arrow"
# Texts that are split at a time, and queries that one thread takes at a time: neither changes a result (our defaults).
SLICE_DOCUMENTS = 20_000
QUERIES_AT_ONCE = 16


def build_index(frames: Iterable[pl.DataFrame], folder: Path, plan: Bm25Plan | None = None) -> None:
    """Write the index of documents (`id`, `text`) into a folder: equal documents in equal order give equal bytes.

    Texts stream; their words are kept in memory as numbers. Raises InputError when two documents have one id.
    """
    import bm25s

    plan = plan or Bm25Plan()
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = Vocabulary()
    ids, documents = [pl.Series("id", [], pl.String)], []
    for rows in (rows for frame in frames for rows in frame.iter_slices(SLICE_DOCUMENTS)):
        ids.append(rows["id"])
        documents += _encoded(tokenize(rows["text"], stop_words=plan.stop_words), vocabulary)
    order = _write_ids(folder, pl.concat(ids))
    if vocabulary.numbers:
        # ATIRE's term frequency is the one with the factor (k1 + 1).
        engine = bm25s.BM25(plan.k1, plan.b, method="atire", idf_method="lucene", backend="numba", csc_backend="scipy")
        corpus = [documents[place] for place in order]
        engine.index((corpus, vocabulary.numbers), create_empty_token=False, show_progress=False)
        # Its search is a seventh faster over bounds of 64 bits than over scipy's of 32.
        scores: dict[str, Any] = engine.scores
        scores["indptr"] = scores["indptr"].astype(np.int64)
        engine.save(folder, show_progress=False)
    info = {"plan": asdict(plan), "documents": len(documents), "words": len(vocabulary.numbers)}
    (folder / INFO).write_text(json.dumps(info, indent=1))


def _encoded(texts: pl.Series, vocabulary: Vocabulary) -> Iterator[array[int]]:
    """The words of every text as numbers of 32 bits: a list of Python's integers would take several times as much."""
    words = vocabulary.encode(texts.explode(empty_as_null=False))
    ends = np.cumsum(texts.list.len().to_numpy())
    return (array("i", part.tobytes()) for part in np.split(words, ends)[:-1])


def _write_ids(folder: Path, ids: pl.Series) -> pl.Series:
    """Write the ids sorted; the place of each in the input."""
    order = ids.arg_sort()
    ordered = ids.gather(order)
    if ordered.n_unique() < len(ordered):
        twice = ordered.filter(ordered.is_duplicated())[0]
        raise InputError(f"more than one document has the id {twice!r}", "index every document once")
    _write_mapped(folder / IDS, ordered)
    return order


def _write_mapped(path: Path, strings: pl.Series) -> None:
    """An uncompressed Arrow file of one column in one batch, which can be mapped into memory.

    The strings pass through one buffer, so that the bytes do not tell in which frames they came.
    """
    one_buffer = pl.Series(strings.name, strings.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()))
    rows = max(1, len(strings))
    one_buffer.to_frame().write_ipc(path, compression="uncompressed", record_batch_size=rows)


def _map(path: Path) -> pl.Series:
    """The column of such a file; only what is looked at is read."""
    import pyarrow as pa

    return pl.Series(pa.ipc.open_file(pa.memory_map(str(path))).read_all().column(0))


class Index:
    """A BM25 index, mapped into memory: only its words are loaded. Open it by `Index.open`."""

    def __init__(self, folder: Path) -> None:
        import bm25s

        info = json.loads((folder / INFO).read_text())
        self.plan = Bm25Plan(**info["plan"])
        self.n_documents: int = info["documents"]
        self._ids = _map(folder / IDS)
        self._engine = bm25s.BM25.load(folder, mmap=True) if info["words"] else None

    @classmethod
    def open(cls, folder: Path) -> Index:
        """The index that `build_index` wrote there. Raises InputError where there is none."""
        if not (folder / INFO).exists():
            raise InputError(f"{folder} holds no index", "build it: materialize the asset that makes it")
        return cls(folder)

    def search(self, queries: Sequence[str], k: int) -> pl.DataFrame:
        """The k best documents of each query: `query` (its position), `rank` from 0, `id`, `score`.

        Only documents that share a word with the query are found, so there may be fewer. Equal scores are ordered by
        id; which of them are found where the k-th place cuts through them is bm25s's choice, and always the same. A
        word that stands twice in a query counts twice.
        """
        if k < 1:
            raise ValueError(f"k = {k}: search for at least one document")
        words = tokenize(pl.Series("words", queries, pl.String), stop_words=self.plan.stop_words)
        # bm25s refuses a query without words when it comes first.
        asked = np.flatnonzero(words.list.len())
        if self._engine is None or not len(asked):
            return pl.DataFrame(schema=HIT_SCHEMA)
        starts = range(0, len(asked), QUERIES_AT_ONCE)
        # Threads of this process: bm25s's own are safe neither beside other threads nor after a fork.
        with ThreadPoolExecutor(len(sched_getaffinity(0))) as pool:
            slices = [asked[start : start + QUERIES_AT_ONCE] for start in starts]
            return pl.concat(pool.map(lambda part: self._hits(part, words.gather(part).to_list(), k), slices))

    def _hits(self, asked: np.ndarray, queries: list[list[str]], k: int) -> pl.DataFrame:
        """Rows of HIT_SCHEMA for the queries at these positions; documents that share no word have a score of 0 and
        are left out."""
        keys = self._best_keys(queries, k)
        query, rank = np.nonzero(keys >> np.uint64(32))
        found = keys[query, rank]
        scores = (found >> np.uint64(32)).astype(np.uint32).view(np.float32)
        ids = self._ids.gather(~found.astype(np.uint32))
        return pl.DataFrame(
            {"query": asked[query], "rank": rank, "id": ids, "score": scores.astype(np.float64)}, schema=HIT_SCHEMA
        )

    def _best_keys(self, queries: list[list[str]], k: int) -> np.ndarray:
        """Of each query's hits, the best first, the bits of the score, then the complement of the document's number.

        Floats that are not negative are ordered like their bits: one sort orders by score and, within it, by id.
        """
        assert self._engine is not None
        k = min(k, self.n_documents)
        documents, scores = self._engine.retrieve(queries, k=k, sorted=False, n_threads=1, show_progress=False)
        keys = scores.view(np.uint32).astype(np.uint64) << np.uint64(32) | ~documents.view(np.uint32)
        return np.sort(keys, axis=1)[:, ::-1]
