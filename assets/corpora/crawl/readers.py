"""Captures out of one crawl file of any layout."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO, Final, Literal

from assets.core.errors import InputError
from assets.corpora import formats
from assets.corpora.crawl.schema import Capture, Skip
from assets.corpora.crawl.warc import dump_of, read_warc
from assets.corpora.files import unreadable
from assets.corpora.formats import format_of
from assets.corpora.listing import InputFile, reachable
from assets.corpora.records import Record, RecordSource, read_records
from assets.corpora.schema import Reject

Layout = Literal["warc", "html", "tar", "rows", "text"]
LAYOUTS: Final[dict[str, Layout]] = {
    ".warc": "warc",
    ".wet": "warc",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".tar": "tar",
    ".tgz": "tar",
}
KNOWN: Final = f".warc .wet .html .htm .xhtml (.gz), .tar .tgz of HTML, {formats.FORMATS}"
GZIP: Final = 16 + zlib.MAX_WBITS


def layout_of(name: str) -> Layout | None:
    """What a crawl file's name announces; None where it cannot be read."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if suffixes and suffixes[-1] in LAYOUTS:
        return LAYOUTS[suffixes[-1]]
    known = format_of(name)
    if known is None or known.is_code:
        return None
    return "text" if known.layout == "text" else "rows"


def read_captures(file: InputFile, dump: str, max_bytes: int) -> Iterator[Capture | Skip | Reject]:
    """Every record of a crawl file, in order; `dump` is for files that do not tell theirs.

    Rows (JSON lines, Parquet) have the field `html` or `text`, and may have `url`, `timestamp`, `title` and `dump`. A
    file that breaks off gives a reject of reason `cut_off` behind its last sound record. Raises InputError for a file
    that is missing, may not be read or holds nothing that can be read.
    """
    number, sound = 0, False
    try:
        with reachable(file.display):
            for found in _records(file, dump_of(file.path) or dump, max_bytes):
                number += 1
                sound = sound or not isinstance(found, Reject)
                yield found
    except (InputError, EOFError, zlib.error, tarfile.TarError) as error:
        fault = error if isinstance(error, InputError) else unreadable(file.display, error)
        if not sound:
            raise fault from error
        yield Reject(file.relative, number + 1, "cut_off", str(error.__cause__ or error))
    if not number:
        raise InputError(
            f"{file.display}: holds no record", "give a file with at least one, or take it out of the folder"
        )


def _records(file: InputFile, dump: str, max_bytes: int) -> Iterator[Capture | Skip | Reject]:
    layout = layout_of(file.relative)
    if layout is None:
        raise InputError(f"{file.display}: this suffix cannot be read", f"give one of {KNOWN}")
    if layout == "rows":
        for row in read_records(RecordSource(file.display, max_row_bytes=max_bytes)):
            yield _of_row(row, file.relative, dump)
        return
    with file.open() as raw:
        if layout == "warc":
            yield from read_warc(raw, file.relative, dump, max_bytes)
        elif layout == "tar":
            yield from _of_tar(raw, file.relative, dump, max_bytes)
        else:
            stream = formats.decompressed(raw, "gzip") if file.relative.lower().endswith(".gz") else raw
            whole = formats.whole_text(stream, file.relative, max_bytes)
            if isinstance(whole, Reject):
                yield whole
            else:
                assert isinstance(whole.text, bytes)
                yield Capture(file.relative, 1, whole.text, layout, dump=dump)


def _of_tar(stream: BinaryIO, file: str, dump: str, max_bytes: int) -> Iterator[Capture | Skip | Reject]:
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for number, member in enumerate((each for each in archive if each.isfile()), start=1):
            layout = layout_of(member.name)
            if layout not in ("html", "text"):
                yield Skip("content_type")
                continue
            opened = archive.extractfile(member)
            assert opened is not None
            content = opened.read(max_bytes + 1)
            try:
                if member.name.lower().endswith(".gz"):
                    content = zlib.decompressobj(GZIP).decompress(content, max_bytes + 1)
            except zlib.error as error:
                yield Reject(file, number, "broken_encoding", f"{member.name!r}: {error}")
                continue
            if len(content) > max_bytes:
                yield Reject(file, number, "record_too_large", f"{member.name!r}: more than {max_bytes:,} bytes")
            else:
                yield Capture(file, number, content, layout, dump=dump)


def _of_row(row: Record | Reject, file: str, dump: str) -> Capture | Reject:
    if isinstance(row, Reject):
        return replace(row, file=file)
    media: Literal["html", "text"] = "html" if row.values.get("html") else "text"
    content = row.values.get(media)
    if not isinstance(content, str | bytes):
        return Reject(file, row.line, "missing_field", "neither `html` nor `text` holds text")
    try:
        return Capture(
            file,
            row.line,
            content if isinstance(content, bytes) else content.encode("utf-8"),
            media,
            url=_string(row.values.get("url")),
            timestamp=_string(row.values.get("timestamp")),
            dump=_string(row.values.get("dump")) or dump,
            title=_string(row.values.get("title")),
        )
    except UnicodeEncodeError as error:
        return Reject(file, row.line, "invalid_utf8", str(error))


def _string(value: object) -> str:
    """A field as text that can be stored; "" for what is none. Raises UnicodeEncodeError for lone surrogates."""
    text = value.isoformat() if isinstance(value, datetime) else value if isinstance(value, str) else ""
    text.encode("utf-8")
    return text
