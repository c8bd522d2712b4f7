"""Whole rows of the user's files, all fields of them: JSON lines, JSON arrays, Parquet, datasets of the hub.

Reading streams, except of a JSON array. A bad row becomes a `Reject`; a bad file raises InputError.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from assets.core.errors import InputError
from assets.corpora import formats
from assets.corpora.files import HUB, hub_rows, unreadable
from assets.corpora.formats import format_of
from assets.corpora.listing import InputFile, list_files
from assets.corpora.schema import Reject

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Where rows come from: a path or `hub:owner/name`; `split`, `subset` and `revision` belong to a hub dataset."""

    path: str
    split: str = "train"
    subset: str | None = None
    revision: str | None = None
    max_row_bytes: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """A row's fields and where they were read: the file as it is shown, its name in the input, and the line or row."""

    file: str
    name: str
    line: int
    values: dict[str, Any]


def read_records(source: RecordSource) -> Iterator[Record | Reject]:
    """Every row of the source, in order of file and line.

    Reasons of a reject: broken_json, not_an_object, invalid_utf8, row_too_large, unsupported_suffix (a file among
    others in a folder). Raises InputError for a file that is missing, empty, cut off or of an unknown suffix.
    """
    if source.path.startswith(HUB):
        rows = hub_rows(source.path, source.split, source.revision, source.subset)
        yield from (Record(source.path, source.split, line, row) for line, row in enumerate(rows, start=1))
        return
    listing = list_files(source.path)
    if listing.saved_dataset:
        yield from _saved_records(source.path)
        return
    for file in listing.files:
        try:
            for row in _file_records(file, source.max_row_bytes):
                yield row if isinstance(row, Reject) else Record(file.display, file.relative, *row)
        except (OSError, EOFError, pa.ArrowException) as error:
            raise unreadable(file.display, error) from error


def _file_records(file: InputFile, max_row_bytes: int) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    layout = format_of(file.relative)
    if layout is None or layout.layout == "text":
        yield Reject(file.display, None, "unsupported_suffix", "give .jsonl .ndjson .json .parquet")
        return
    with file.open() as raw:
        if layout.layout == "parquet":
            batches = pq.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False).iter_batches(formats.BATCH_ROWS)
            yield from _table_records(batches, file.display)
            return
        stream = formats.decompressed(raw, layout.codec)
        assert isinstance(stream, io.BufferedReader)
        if stream.peek(1024).removeprefix(BOM).lstrip().startswith(b"["):
            yield from _array_records(stream, file.display)
        else:
            yield from formats.json_objects(stream, file.display, max_row_bytes)


def _array_records(stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    try:
        rows = json.loads(stream.read().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is no JSON ({error})", "mend it, or write one JSON object a line") from error
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            yield number, row
        else:
            yield Reject(file, number, "not_an_object", f"a JSON {type(row).__name__}")


def _table_records(batches: Iterator[pa.RecordBatch], file: str) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    number = 0
    for batch in batches:
        for place in range(batch.num_rows):
            number += 1
            try:
                # Row by row: Arrow does not check that its strings are UTF-8, and one bad text must not take others.
                [values] = batch.slice(place, 1).to_pylist()
            except UnicodeDecodeError as error:
                yield Reject(file, number, "invalid_utf8", str(error))
            else:
                yield number, values


def _saved_records(path: str) -> Iterator[Record]:
    """Rows of a folder that `datasets.save_to_disk` wrote: one dataset, or one for each split."""
    import datasets

    try:
        saved = datasets.load_from_disk(path)
        splits = saved if isinstance(saved, datasets.DatasetDict) else {"": saved}
        for split, rows in splits.items():
            for line, row in enumerate(rows, start=1):
                yield Record(f"{path}/{split}".rstrip("/"), str(split), line, dict(row))
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error
