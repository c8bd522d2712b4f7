"""Searching a BM25 index that lies in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl

from assets.core.errors import InputError
from assets.core.retrieval import layout
from assets.core.retrieval.plan import Bm25Plan
from assets.core.retrieval.tokens import tokenize

HIT_SCHEMA = {"query": pl.Int64, "rank": pl.Int64, "id": pl.String, "score": pl.Float64}
# Queries that one thread takes at a time (our default).
QUERIES_AT_ONCE = 64


class Index:
    """A BM25 index, mapped into memory: only its terms are loaded. Open it by `Index.open`."""

    def __init__(self, folder: Path) -> None:
        info = json.loads((folder / layout.INFO).read_text())
        self.plan = Bm25Plan(**info["plan"])
        self.n_documents: int = info["documents"]
        self._terms = pl.Series(layout.map_strings(folder / layout.TERMS)).set_sorted()
        self._ids = layout.map_strings(folder / layout.IDS)
        self._starts, self._documents, self._scores, self._rows = (
            layout.map_array(folder / name) for name in (layout.STARTS, layout.DOCUMENTS, layout.SCORES, layout.ROWS)
        )

    @classmethod
    def open(cls, folder: Path) -> Index:
        """The index that `build_index` wrote there. Raises InputError where there is none."""
        if not (folder / layout.INFO).exists():
            raise InputError(f"{folder} holds no index", "build it: materialize the asset that makes it")
        return cls(folder)

    def search(self, queries: Sequence[str], k: int) -> pl.DataFrame:
        """The k best documents of each query: `query` (its position), `rank` from 0, `id`, `score`.

        Only documents that share a word with the query are found, so there may be fewer. Equal scores are ordered by
        id. A word that stands twice in a query counts twice.
        """
        if k < 1:
            raise ValueError(f"k = {k}: search for at least one document")
        if not len(queries) or not len(self._terms):
            return pl.DataFrame(schema=HIT_SCHEMA)
        terms, bounds = self._encode(queries)
        k = min(k, self.n_documents)
        slices = [slice(start, start + QUERIES_AT_ONCE + 1) for start in range(0, len(queries), QUERIES_AT_ONCE)]
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            keys = np.concatenate(list(pool.map(lambda part: self._best_keys(terms, bounds[part], k), slices)))
        return self._hits(keys)

    def _encode(self, queries: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Terms of all queries, without those that no document holds, and where the terms of each query start."""
        words = tokenize(pl.Series("word", queries, pl.String), stop_words=self.plan.stop_words)
        asked = pl.DataFrame({"query": np.arange(len(queries)), "word": words}).explode("word").drop_nulls()
        # The place where a word would stand among the terms: it is known where it stands there.
        rows = self._terms.search_sorted(asked["word"]).clip(upper_bound=len(self._terms) - 1)
        known = self._terms.gather(rows) == asked["word"]
        counts = np.bincount(asked["query"].filter(known), minlength=len(queries))
        return rows.filter(known).cast(pl.Int64).to_numpy(), np.concatenate(([0], np.cumsum(counts)))

    def _best_keys(self, terms: np.ndarray, bounds: np.ndarray, k: int) -> np.ndarray:
        from assets.core.retrieval.kernel import best_keys

        keys = best_keys(terms, bounds, self._starts, self._documents, self._scores, self._rows, k)
        return np.sort(keys, axis=1)[:, ::-1]

    def _hits(self, keys: np.ndarray) -> pl.DataFrame:
        query, rank = np.nonzero(keys)
        found = keys[query, rank]
        rows = ~found.astype(np.uint32)
        scores = (found >> np.uint64(32)).astype(np.uint32).view(np.float32)
        return pl.DataFrame(
            {
                "query": query,
                "rank": rank,
                "id": pl.Series(self._ids.take(pl.Series(rows).to_arrow()), dtype=pl.String),
                "score": scores.astype(np.float64),
            },
            schema=HIT_SCHEMA,
        )
