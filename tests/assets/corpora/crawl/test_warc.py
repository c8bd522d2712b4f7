"""WARC files: what is a page, and what damage costs."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.core.errors import InputError
from assets.corpora.crawl.schema import Capture, Skip
from assets.corpora.crawl.warc import read_warc
from assets.corpora.schema import Reject
from tests.assets.corpora.crawl.tiny_warc import http, members, page, record

RECORDS = [record(http(page(str(number))), f"https://example.org/{number}") for number in range(6)]


def read(content: bytes, dump: str = "", max_bytes: int = 1_000_000) -> list[Capture | Skip | Reject]:
    return list(read_warc(io.BytesIO(content), "a.warc", dump, max_bytes))


def urls(found: list[Capture | Skip | Reject]) -> list[str]:
    return [each.url.rpartition("/")[2] for each in found if isinstance(each, Capture)]


def reasons(found: list[Capture | Skip | Reject]) -> list[str]:
    return [each.reason for each in found if isinstance(each, Skip | Reject)]


@pytest.mark.parametrize("pack", [b"".join, lambda each: members(*each), lambda each: gzip.compress(b"".join(each))])
def test_records_come_whole_and_in_order(pack) -> None:  # type: ignore[no-untyped-def]
    """Plain, a gzip member a record, and one member for all: crawlers write each of them."""
    found = read(pack(RECORDS))
    assert urls(found) == list("012345")
    assert [each.record for each in found if isinstance(each, Capture)] == [1, 2, 3, 4, 5, 6]
    first = found[0]
    assert isinstance(first, Capture)
    assert first.content == http(page("0"))
    assert (first.url, first.timestamp) == ("https://example.org/0", "2023-03-20T10:00:00Z")


def test_other_records_are_none_and_the_warcinfo_names_the_dump() -> None:
    """Requests and metadata are no rows; the dump comes from the crawl's own words unless the name told it."""
    info = record(b"isPartOf: CC-MAIN-2023-14\r\n", kind="warcinfo")
    request = record(b"GET / HTTP/1.1\r\n\r\n", kind="request")
    found = read(members(info, request, RECORDS[0]))
    assert [(each.record, each.dump) for each in found if isinstance(each, Capture)] == [(3, "2023-14")]
    [told] = [each.dump for each in read(members(info, RECORDS[0]), dump="2020-05") if isinstance(each, Capture)]
    assert told == "2020-05"


def test_what_is_no_page_is_skipped_by_its_type() -> None:
    """A picture must not reach the extractor, and is counted."""
    picture = record(http(b"GIF89a"), "https://example.org/p", "WARC-Identified-Payload-Type: image/gif")
    resource = record(b"%PDF", "https://example.org/r", "Content-Type: application/pdf", kind="resource")
    wet = record(b"plain words", "https://example.org/w", "Content-Type: text/plain", kind="conversion")
    found = read(members(picture, resource, wet))
    assert reasons(found) == ["content_type", "content_type"]
    [text] = [each for each in found if isinstance(each, Capture)]
    assert (text.media, text.content) == ("text", b"plain words")


def broken_member() -> bytes:
    sound = bytearray(gzip.compress(RECORDS[2]))
    sound[30:60] = bytes(30)
    return bytes(sound)


@pytest.mark.parametrize(
    ("damaged", "kept", "reason"),
    [
        (members(*RECORDS[:3]) + members(RECORDS[3])[:60], "012", "cut_off"),
        (members(*RECORDS[:3]) + members(RECORDS[3])[:-40], "012", "cut_off"),
        (b"".join(RECORDS)[:-400], "01234", "cut_off"),
        (members(*RECORDS[:2]) + broken_member() + members(*RECORDS[3:]), "01345", "broken_record"),
        (members(*RECORDS[:2]) + b"rubbish" * 99 + members(*RECORDS[2:]), "012345", "broken_record"),
        (RECORDS[0] + b"\x00\xff rubbish \r\n\r\n" + RECORDS[1] + RECORDS[2], "012", "broken_record"),
        (RECORDS[0] + b"WARC/9.9\r\nno colon\r\n\r\n\r\n" + RECORDS[1] + RECORDS[2], "012", "broken_record"),
        (members(RECORDS[0], b"WARC/1.0\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", RECORDS[1]), "01", "broken_record"),
        (members(RECORDS[0], record(bytes(2_000_000)), RECORDS[1]), "01", "record_too_large"),
        (gzip.compress(RECORDS[0] + record(bytes(2_000_000)) + RECORDS[1]), "01", "record_too_large"),
        (RECORDS[0] + RECORDS[1].replace(b"Content-Length: ", b"Content-Length: 9") + RECORDS[2], "02", "cut_off"),
    ],
)  # fmt: skip
def test_damage_costs_its_own_records(damaged: bytes, kept: str, reason: str) -> None:
    """Truncated members, broken ones, rubbish between records, lying lengths: told once, and reading goes on."""
    found = read(damaged)
    assert urls(found) == list(kept)
    assert reasons(found) == [reason]


@given(
    place=st.integers(0, len(members(*RECORDS)) - 1),
    rubbish=st.binary(min_size=1, max_size=400),
    replaces=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_no_damage_takes_a_record_that_it_does_not_touch(place: int, rubbish: bytes, replaces: bool) -> None:
    """Whatever is written over or into a file, every record beside it comes out whole, once and in order."""
    whole = members(*RECORDS)
    end = place + len(rubbish) if replaces else place
    damaged = whole[:place] + rubbish + whole[end:]
    ends = [len(members(*RECORDS[: count + 1])) for count in range(len(RECORDS))]
    untouched = [
        str(number)
        for number, stop in enumerate(ends)
        if stop <= place or (ends[number - 1] if number else 0) >= max(end, place)
    ]
    try:
        found = read(damaged)
    except InputError:
        assert not untouched
        return
    sound = [each for each in found if isinstance(each, Capture) and each.content == http(page(urls([each])[0]))]
    assert [url for url in urls([*sound]) if url in untouched] == untouched


@pytest.mark.parametrize("content", [b"", b"<html>a page</html>", bytes(range(256)) * 100])
def test_what_is_no_warc_is_told_with_the_remedy(content: bytes) -> None:
    """A page saved under a crawl's name must not pass for an empty crawl."""
    with pytest.raises(InputError, match="holds no WARC record"):
        read(content)


def test_a_file_of_nothing_but_starts_is_given_up_soon(tmp_path: Path) -> None:
    """20 MB that look like seven million gzip members, all broken, behind a sound one."""
    found = read(members(RECORDS[0]) + b"\x1f\x8b\x08" * 7_000_000)
    assert urls(found) == ["0"]
    assert reasons(found) == ["cut_off", "given_up"]
