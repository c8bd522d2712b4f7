"""Rows out of one open file, streaming: JSON lines, Parquet, Arrow tables and plain text.

A reader yields a `Row` for what it could take apart and a `Reject` for what it could not, and goes on. It
raises InputError when the file itself is not what its name says.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath
from typing import BinaryIO, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from assets.core.errors import InputError
from assets.corpora.schema import Reject

CODECS: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
PROSE_SUFFIXES: Final = frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".org", ".tex", ".adoc"})
CODE_SUFFIXES: Final = frozenset(
    {".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".hpp", ".cu", ".cs", ".go", ".hs", ".java", ".jl"}
    | {".js", ".jsx", ".kt", ".lua", ".ml", ".php", ".pl", ".r", ".rb", ".rs", ".scala", ".sh"}
    | {".sql", ".swift", ".ts", ".tsx"}
)
FORMATS: Final = ".jsonl .ndjson .json .parquet (.gz .zst .bz2 of all but Parquet), and text such as .txt .md .py"
MISSING: Final = object()
# Few rows at a time: one batch of Parquet is what lies in memory, and a row may take megabytes.
BATCH_ROWS: Final = 128
SKIP_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """A row before it is judged.

    `text` and `id` are what the file holds: MISSING, None, any type, or text not yet decoded (bytes). `line`
    is None when the file is the row.
    """

    line: int | None
    text: object
    id: object = MISSING


@dataclass(frozen=True, slots=True)
class Format:
    """How to read a file, by its name alone."""

    layout: Literal["json_lines", "parquet", "text"]
    codec: str | None
    is_code: bool


def format_of(name: str) -> Format | None:
    """The format that a file name announces, or None when it cannot be read."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes] or [""]
    codec = CODECS.get(suffixes[-1])
    suffix = suffixes[-2] if codec and len(suffixes) > 1 else suffixes[-1]
    if suffix in (".jsonl", ".ndjson", ".json"):
        return Format("json_lines", codec, is_code=False)
    if suffix == ".parquet" and codec is None:
        return Format("parquet", None, is_code=False)
    if suffix in PROSE_SUFFIXES or suffix in CODE_SUFFIXES:
        return Format("text", codec, is_code=suffix in CODE_SUFFIXES)
    return None


def decompressed(stream: BinaryIO, codec: str | None) -> BinaryIO:
    """The stream behind a compression; reading it raises OSError when it was cut off."""
    source = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), codec) if codec else stream
    # Remote files of fsspec read lines only whole; a buffered reader bounds them.
    return io.BufferedReader(source)  # type: ignore[type-var]


def json_lines(
    stream: BinaryIO, file: str, text_field: str, id_field: str | None, max_row_bytes: int
) -> Iterator[Row | Reject]:
    """The rows of a file with one JSON object a line."""
    for found in json_objects(stream, file, max_row_bytes):
        if isinstance(found, Reject):
            yield found
            continue
        number, value = found
        row_id = value.get(id_field, MISSING) if id_field else MISSING
        yield Row(number, value.get(text_field, MISSING), row_id)


def json_objects(stream: BinaryIO, file: str, max_row_bytes: int) -> Iterator[tuple[int, dict[str, object]] | Reject]:
    """One JSON object a line, with its number; blank lines are none. A line above `max_row_bytes` is passed over
    unread."""
    has_rows = False
    for number, line in enumerate(_bounded_lines(stream, max_row_bytes), start=1):
        content = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if not content:
            continue
        if not has_rows and (content.startswith(b"[") or content == b"{"):
            raise InputError(
                f"{file}: holds one JSON value over many lines, not one object a line",
                "write JSON lines, for instance with `jq -c '.[]'` for an array or `jq -c .` for objects",
            )
        has_rows = True
        if len(line) > max_row_bytes:
            yield Reject(file, number, "row_too_large", f"more than {max_row_bytes:,} bytes in one line")
        else:
            yield _json_object(content, file, number)
    if not has_rows:
        raise InputError(f"{file}: is empty", "give a file with at least one row, or take it out of the input")


def _bounded_lines(stream: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Lines with their newline; of a line above `max_bytes` only the first `max_bytes + 1` bytes."""
    while line := stream.readline(max_bytes + 1):
        rest = line
        while not rest.endswith(b"\n") and len(line) > max_bytes and (rest := stream.readline(SKIP_BYTES)):
            pass
        yield line


def _json_object(content: bytes, file: str, number: int) -> tuple[int, dict[str, object]] | Reject:
    try:
        value = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Reject(file, number, "invalid_utf8", str(error))
    except (ValueError, RecursionError) as error:
        return Reject(file, number, "broken_json", str(error))
    if not isinstance(value, dict):
        return Reject(file, number, "not_an_object", f"a JSON {type(value).__name__}")
    return number, value


def parquet(stream: BinaryIO, file: str, text_field: str, id_field: str | None) -> Iterator[Row]:
    """The rows of a Parquet file, a batch at a time. Raises InputError for a column not there or not text."""
    table = pq.ParquetFile(stream, buffer_size=1 << 20, pre_buffer=False)
    columns = check_columns(table.schema_arrow, file, text_field, id_field)
    yield from table_rows(table.iter_batches(BATCH_ROWS, columns=columns), text_field, id_field)


def check_columns(schema: pa.Schema, file: str, text_field: str, id_field: str | None) -> list[str]:
    """The columns to read; what is missing in the schema is missing in every row, so it faults the file."""
    columns = [text_field, *([id_field] if id_field else [])]
    for column in columns:
        if column not in schema.names:
            raise InputError(f"{file}: has no column {column!r}", f"name one of its columns: {', '.join(schema.names)}")
    if not _is_text(schema.field(text_field).type):
        raise InputError(
            f"{file}: column {text_field!r} holds {schema.field(text_field).type}, not text",
            "set text_field to a column of strings",
        )
    return columns


def table_rows(batches: Iterable[pa.RecordBatch | pa.Table], text_field: str, id_field: str | None) -> Iterator[Row]:
    """Rows of Arrow batches, numbered from 1."""
    numbers = count(1)
    for batch in batches:
        texts = _values(batch[text_field])
        ids = _values(batch[id_field]) if id_field else [MISSING] * len(texts)
        # The texts come first: zip stops at the first end, and must not draw a number before it.
        for text, row_id, number in zip(texts, ids, numbers, strict=False):
            yield Row(number, text, row_id)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _values(column: pa.Array | pa.ChunkedArray) -> list[object]:
    """Python values; text as bytes, because Arrow does not check that its strings are UTF-8."""
    if not _is_text(column.type):
        return list(column.to_pylist())
    return list(column.cast(pa.large_string()).cast(pa.large_binary()).to_pylist())


def whole_text(stream: BinaryIO, file: str, max_row_bytes: int) -> Row | Reject:
    """The file as one row; a larger one is not read to its end."""
    content = stream.read(max_row_bytes + 1)
    if len(content) > max_row_bytes:
        return Reject(file, None, "row_too_large", f"more than {max_row_bytes:,} bytes in one file")
    return Row(None, content.removeprefix(b"\xef\xbb\xbf"))
