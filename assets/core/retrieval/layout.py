"""The files of an index, and the format of each.

| file | what |
| --- | --- |
| `index.json` | the plan, the number of documents and their average length in words |
| `terms.arrow` | all terms, sorted by their UTF-8 bytes: a term's row is its number |
| `starts.npy` | int64, where the postings of each term start; one more for the end |
| `documents.npy` | uint32, of every posting: the document, by its place in the input; ascending within a term |
| `scores.npy` | float32, of every posting: what the term adds to the document's score |
| `ids.arrow` | the ids of all documents, sorted |
| `rows.npy` | uint32, of every document: the row of its id |
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa

INFO = "index.json"
TERMS = "terms.arrow"
STARTS = "starts.npy"
DOCUMENTS = "documents.npy"
SCORES = "scores.npy"
IDS = "ids.arrow"
ROWS = "rows.npy"


def write_strings(path: Path, strings: pl.Series) -> None:
    """An uncompressed Arrow file of one column in one batch, which can be mapped into memory."""
    import pyarrow as pa

    array = strings.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    table = pa.table({strings.name: array})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, len(array)))


def map_strings(path: Path) -> pa.Array:
    """The column of such a file; only what is looked at is read."""
    import pyarrow as pa

    column = pa.ipc.open_file(pa.memory_map(str(path))).read_all().column(0)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def map_array(path: Path) -> np.ndarray:
    """A NumPy file, mapped read-only."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
