"""The user's own data as documents: files, folders, globs, fsspec URLs, Hugging Face datasets.

Reading streams. A bad row becomes a `Reject` and reading goes on; a bad file raises InputError.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from assets.core.errors import InputError
from assets.corpora import formats
from assets.corpora.formats import MISSING, Format, Row, format_of
from assets.corpora.listing import FileDigest, InputFile, Listing, file_digest, list_files
from assets.corpora.schema import Document, Kind, Reject, document

HUB = "hub:"


@dataclass(frozen=True, slots=True)
class FileSource:
    """Where documents come from and how a row is read.

    `path`: a file, folder, glob, fsspec URL, or `hub:owner/name`. `text_field` and `id_field` name fields of
    a row; without `id_field` a row is known by its file and line. `kind` is what the rows are, except that a
    source file (.py, .c, …) is always code. `max_row_bytes` bounds one line, one text file or one text.
    `split` and `revision` belong to a hub dataset.
    """

    path: str
    text_field: str = "text"
    id_field: str | None = None
    kind: Kind = "prose"
    max_row_bytes: int = 10_000_000
    split: str = "train"
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class _Origin:
    file: str
    package: str
    module: str
    kind: Kind


def read_files(source: FileSource) -> Iterator[Document | Reject]:
    """Every row of the source, in order of file and line.

    Reasons of a reject: broken_json, not_an_object, invalid_utf8, row_too_large, missing_field,
    non_text_field, empty_text, bad_id, duplicate_id, unsupported_suffix (a file among others in a folder).
    Raises InputError for a file that is missing, empty, cut off, of an unknown suffix or without the column
    asked for.
    """
    seen_ids: set[bytes] = set()
    has_rows = False
    for origin, row in _rows(source):
        has_rows = True
        yield row if isinstance(row, Reject) else _judge(row, origin, source, seen_ids)
    if not has_rows:
        raise InputError(f"{source.path}: holds no row", "give an input with at least one row")


def inventory(source: FileSource) -> list[FileDigest]:
    """What identifies the content of every file that is read; for a hub dataset its commit."""
    if source.path.startswith(HUB):
        return [FileDigest(source.path, 0, _hub_commit(source))]
    listing = list_files(source.path)
    return [file_digest(f) for f in listing.files if listing.saved_dataset or format_of(f.relative)]


def _rows(source: FileSource) -> Iterator[tuple[_Origin, Row | Reject]]:
    if source.path.startswith(HUB):
        yield from _hub_rows(source)
        return
    listing = list_files(source.path)
    if listing.saved_dataset:
        yield from _saved_rows(listing, source)
        return
    for file in listing.files:
        layout = format_of(file.relative)
        kind: Kind = "code" if layout and layout.is_code else source.kind
        origin = _Origin(file.display, file.package, file.relative, kind)
        try:
            for row in _file_rows(file, layout, source):
                yield origin, row
        except (OSError, pa.ArrowException) as error:
            raise unreadable(file.display, error) from error


def _file_rows(file: InputFile, layout: Format | None, source: FileSource) -> Iterator[Row | Reject]:
    if layout is None:
        yield Reject(file.display, None, "unsupported_suffix", f"not one of {formats.FORMATS}")
        return
    with file.open() as raw:
        stream = formats.decompressed(raw, layout.codec)
        if layout.layout == "parquet":
            yield from formats.parquet(raw, file.display, source.text_field, source.id_field)
        elif layout.layout == "text":
            yield formats.whole_text(stream, file.display, source.max_row_bytes)
        else:
            yield from formats.json_lines(
                stream, file.display, source.text_field, source.id_field, source.max_row_bytes
            )


def _saved_rows(listing: Listing, source: FileSource) -> Iterator[tuple[_Origin, Row]]:
    """Rows of a folder that `datasets.save_to_disk` wrote: one dataset, or one for each split."""
    import datasets

    try:
        saved = datasets.load_from_disk(source.path)
        splits = saved if isinstance(saved, datasets.DatasetDict) else {"": saved}
        for split, rows in splits.items():
            name = str(split) or listing.root.rstrip("/").rsplit("/", 1)[-1]
            origin = _Origin(f"{source.path}/{split}".rstrip("/"), name, name, source.kind)
            columns = formats.check_columns(rows.features.arrow_schema, origin.file, source.text_field, source.id_field)
            arrow = rows.select_columns(columns).with_format("arrow")
            assert isinstance(arrow, datasets.Dataset)
            batches = arrow.iter(formats.BATCH_ROWS)
            for row in formats.table_rows(batches, source.text_field, source.id_field):
                yield origin, row
    except (OSError, pa.ArrowException) as error:
        raise unreadable(source.path, error) from error


def _hub_rows(source: FileSource) -> Iterator[tuple[_Origin, Row]]:
    name = source.path.removeprefix(HUB)
    origin = _Origin(source.path, name.rsplit("/", 1)[-1], name, source.kind)
    for line, row in enumerate(hub_rows(source.path, source.split, source.revision), start=1):
        row_id = row.get(source.id_field, MISSING) if source.id_field else MISSING
        yield origin, Row(line, row.get(source.text_field, MISSING), row_id)


def hub_rows(path: str, split: str, revision: str | None, subset: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a dataset of the hub, streaming. Raises InputError when it cannot be read."""
    import datasets
    import httpx

    try:
        rows: Iterable[dict[str, Any]] = datasets.load_dataset(
            path.removeprefix(HUB), subset, split=split, revision=revision, streaming=True
        )
        yield from rows
    except (OSError, ValueError, datasets.exceptions.DatasetsError, httpx.HTTPError) as error:
        raise InputError(
            f"{path}: the dataset cannot be read ({error})",
            "check its name, split and revision and that the hub can be reached, or give a local copy of it",
        ) from error


def _hub_commit(source: FileSource) -> str:
    """The commit a revision stands for now: a branch moves, so that its name identifies no content."""
    if source.revision and re.fullmatch("[0-9a-f]{40}", source.revision):
        return source.revision
    import httpx
    import huggingface_hub

    try:
        info = huggingface_hub.HfApi().dataset_info(source.path.removeprefix(HUB), revision=source.revision)
    except (OSError, ValueError, httpx.HTTPError) as error:
        raise InputError(
            f"{source.path}: its revision cannot be looked up ({error})",
            "set revision to the 40-character commit of the dataset",
        ) from error
    return str(info.sha)


def _judge(row: Row, origin: _Origin, source: FileSource, seen_ids: set[bytes]) -> Document | Reject:
    """A document, or why the row is none."""

    def reject(reason: str, detail: str) -> Reject:
        return Reject(origin.file, row.line, reason, detail)

    text_field, id_field = source.text_field, source.id_field
    if row.text is MISSING:
        return reject("missing_field", f"no field {text_field!r}")
    if not isinstance(row.text, str | bytes):
        return reject("non_text_field", f"{text_field!r} holds {type(row.text).__name__}")
    try:
        content = row.text if isinstance(row.text, bytes) else row.text.encode("utf-8")
        text = content.decode("utf-8")
    except UnicodeError as error:
        return reject("invalid_utf8", str(error))
    if len(content) > source.max_row_bytes:
        return reject("row_too_large", f"{len(content):,} bytes, {source.max_row_bytes:,} allowed")
    if not text.strip():
        return reject("empty_text", "nothing but white space")
    if row.line is None:
        return document(origin.kind, origin.package, origin.module, PurePosixPath(origin.module).name, text)
    if id_field is None:
        return document(origin.kind, origin.package, origin.module, str(row.line), text)
    if row.id is MISSING:
        return reject("missing_field", f"no field {id_field!r}")
    row_id = _row_id(row.id)
    if row_id is None:
        return reject("bad_id", f"{id_field!r} holds {type(row.id).__name__}, not text or a whole number")
    key = hashlib.sha256(row_id.encode("utf-8")).digest()[:16]
    if key in seen_ids:
        return reject("duplicate_id", f"id {row_id!r} came before")
    seen_ids.add(key)
    # The user's id, not the place, sets the row apart: moving it to another file or line keeps its id.
    return document(origin.kind, origin.package, origin.module, row_id, text, place=("row", row_id))


def _row_id(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def unreadable(file: str, error: Exception) -> InputError:
    """The error for a file that breaks off while it is read."""
    return InputError(
        f"{file}: cannot be read to its end ({error})",
        "it may be cut off or damaged: copy or download it again",
    )
