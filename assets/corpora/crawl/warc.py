"""Captures out of WARC and WET files, streaming; damage costs the records it lies in, not the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from assets.core.errors import InputError
from assets.corpora.crawl.http import is_page
from assets.corpora.crawl.schema import Capture, Skip
from assets.corpora.schema import Reject

if TYPE_CHECKING:
    from fastwarc.warc import WarcRecord

DUMP: Final = re.compile(r"CC-MAIN-(\d{4}-\d{2})\b")
# How a gzip member begins, and how a record does that is not compressed.
START: Final = re.compile(b"\x1f\x8b\x08|WARC/1\\.")
START_BYTES: Final = 7
TOO_LARGE: Final = "record_too_large"
BLOCK_BYTES: Final = 1 << 20
# Bytes read in vain at places that only looked like a start, before the rest of a file is given up (our default): a
# hostile file may hold nothing else.
MAX_VAIN_BYTES: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class _Fault:
    """Records that could not be read: from which byte on, and why."""

    offset: int
    reason: str
    detail: str


def dump_of(name: str) -> str:
    """The dump that a file's name or a crawl's description tells: "2023-14" of CC-MAIN-2023-14; "" without one."""
    found = DUMP.search(name)
    return found[1] if found else ""


def read_warc(stream: BinaryIO, file: str, dump: str, max_bytes: int) -> Iterator[Capture | Skip | Reject]:
    """Responses, resources and (in WET files) conversions, in order; other records are no captures.

    `record` counts all records of the file from 1. Where `dump` is empty the file's warcinfo is asked. Reason of a
    skip: content_type (neither HTML nor text). Reasons of a reject: broken_record, cut_off, record_too_large, given_up.
    Raises InputError where no record at all can be read.
    """
    from fastwarc.warc import WarcRecordType

    captured = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion
    sound = False
    for number, found in enumerate(_records(stream, max_bytes), start=1):
        if isinstance(found, _Fault):
            sound = sound or found.reason == TOO_LARGE
            yield Reject(file, number, found.reason, f"at byte {found.offset:,}: {found.detail}")
            continue
        sound = True
        if found.record_type == WarcRecordType.warcinfo:
            dump = dump or dump_of(found.reader.read().decode("utf-8", "replace"))
        elif found.record_type & captured:
            yield _capture(found, file, number, dump)
    if not sound:
        raise InputError(f"{file}: holds no WARC record", "it may be empty or damaged: copy or download it again")


def _capture(record: WarcRecord, file: str, number: int, dump: str) -> Capture | Skip:
    from fastwarc.warc import WarcRecordType

    def header(name: str) -> str:
        return (record.headers.get(name) or "").strip()

    kind = header("WARC-Identified-Payload-Type")
    if record.record_type == WarcRecordType.response:
        media = "http"
    else:
        kind = kind or header("Content-Type")
        media = "text" if kind.startswith("text/plain") else "html"
    if not is_page(kind):
        return Skip("content_type")
    return Capture(
        file,
        number,
        record.reader.read(),
        media,
        url=header("WARC-Target-URI").strip("<>"),
        timestamp=header("WARC-Date"),
        dump=dump,
    )


def _records(stream: BinaryIO, max_bytes: int) -> Iterator[WarcRecord | _Fault]:
    """Whole records in memory; after damage, those from the next place on where one can be read.

    A stretch of damage is one fault. A record above `max_bytes` is a fault too, and is passed over unread.
    """
    from fastwarc.warc import ArchiveIterator

    place: int | None = 0
    told = ended = False
    vain = 0
    while place is not None:
        if vain > MAX_VAIN_BYTES:
            yield _Fault(place, "given_up", "too much of the file is damaged: the rest was not read")
            return
        stream.seek(place)
        tried = place
        found = False
        try:
            for record in ArchiveIterator(stream, parse_http=False):
                place, found, told = record.stream_pos, True, False
                fault = _fault(record, max_bytes)
                if fault is None:
                    yield record
                    continue
                yield fault
                told = True
                if fault.reason == TOO_LARGE and _can_pass_over(stream, place):
                    break
            else:
                # fastwarc ends without a word where a file breaks off within a header.
                if not found and not told:
                    yield _Fault(place, "cut_off", "the file ends within a record")
                    told = True
                ended = True
        except OSError as error:
            # Behind the end only chance makes bytes look like a start.
            if not told and not ended:
                yield _Fault(place, "broken_record", str(error))
                told = True
        if not found:
            vain += stream.tell() - tried
        # Also at the end: a length that lies may have swallowed records.
        place = _find_start(stream, place + 1)


def _fault(record: WarcRecord, max_bytes: int) -> _Fault | None:
    """Why a record is not whole; None when it is, and lies in memory."""
    size = record.content_length
    if size > max_bytes:
        return _Fault(record.stream_pos, TOO_LARGE, f"{size:,} bytes, {max_bytes:,} allowed")
    record.freeze()
    if record.content_length < size:
        return _Fault(record.stream_pos, "cut_off", f"{record.content_length:,} bytes of {size:,}")
    return None


def _can_pass_over(stream: BinaryIO, place: int) -> bool:
    """Whether another record starts behind `place`. Without one (an archive that is a single gzip member) a record can
    be passed over only by reading it."""
    here = stream.tell()
    following = _find_start(stream, place + 1)
    stream.seek(here)
    return following is not None


def _find_start(stream: BinaryIO, place: int) -> int | None:
    """The first place from `place` on where a member or a record may start, in bytes."""
    stream.seek(place)
    block = b""
    while more := stream.read(BLOCK_BYTES):
        block = block[1 - START_BYTES :] + more
        found = START.search(block)
        if found:
            return stream.tell() - len(block) + found.start()
    return None
