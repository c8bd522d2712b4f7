"""Many records at a time: in order, each within its bound of time, whatever the number of processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from assets.corpora.crawl.extract import Extraction
from assets.corpora.crawl.pool import BATCH_RECORDS, read_pages
from assets.corpora.crawl.schema import Capture, Page, Skip
from assets.corpora.schema import Reject
from tests.assets.corpora.crawl.tiny_warc import http, members, page, pages, record


def capture(number: int, content: bytes) -> Capture:
    return Capture("a", number, content, "html", f"https://example.org/{number}")


def slow_page() -> bytes:
    """HTML of half a megabyte that takes the parser half a minute: attributes are compared each with each."""
    return b"<html><body><p " + b" ".join(b"a%d=1" % number for number in range(70_000)) + b">text</p></body></html>"


def test_order_and_content_do_not_hang_on_the_number_of_processes() -> None:
    """Skips and rejects keep their places among the pages."""
    records: list[Capture | Skip | Reject] = [capture(number, page(str(number))) for number in range(2 * BATCH_RECORDS)]
    records[5:5] = [Skip("content_type"), Reject("a", 6, "cut_off", "")]
    one = list(read_pages(iter(records), Extraction(), 5, workers=1))
    assert one == list(read_pages(iter(records), Extraction(), 5, workers=3))
    assert one[5:7] == records[5:7]
    assert [each.record for each in one if isinstance(each, Page)] == list(range(2 * BATCH_RECORDS))


def test_a_slow_record_is_killed_and_its_neighbours_are_not() -> None:
    """What hangs in C is ended by the system; the batch that it was in is done again without it."""
    records = [capture(number, page(str(number))) for number in range(5)]
    records[2] = capture(2, slow_page())
    started = time.monotonic()
    found = list(read_pages(records, Extraction(), 1.0, workers=2))
    assert time.monotonic() - started < 60
    assert found[2] == Reject("a", 2, "timeout", "more than 1 s of processor time")
    assert [each.record for each in found if isinstance(each, Page)] == [0, 1, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"<div>" * 300_000 + b"end",
        b"<p><b><i>" * 100_000 + b"words words " * 100,
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(12))
        + b"]><html><body><p>&m;</p></body></html>",
        b"<html><body><p>" + b"&amp;" * 1_500_000 + b"</p></body></html>",
        b"<html><body><p>" + b"word " * 1_900_000 + b"</p></body></html>",
        b"<" * 5_000_000,
        b"<!--" * 500_000,
        b"<p>word word</p>" * 400_000,
        b"<a href='x'>y</a>" * 300_000,
        b"<table><tr><td>" * 30_000,
        slow_page(),
    ],
    ids=[
        *("deep", "inline", "entities", "references", "line", "less"),
        *("comments", "paragraphs", "links", "tables", "attributes"),
    ],
)
def test_hostile_pages_end_in_time(content: bytes) -> None:
    """Deep nesting, entity bombs, attributes by the thousand, ten megabytes in a line: a page or a reason, soon."""
    started = time.monotonic()
    [bad, good] = read_pages([capture(1, content), capture(2, page())], Extraction(), 2.0, workers=1)
    assert time.monotonic() - started < 60
    assert isinstance(good, Page)
    if isinstance(bad, Reject):
        assert bad.reason in ("timeout", "extraction_error", "extractor_died")
    elif isinstance(bad, Page):
        assert bad.n_bytes < 2 * len(content)


def test_a_damaged_crawl_is_read_to_its_end(tmp_path: Path) -> None:
    """Every record of a file with all kinds of faults is a page, a skip or a reject with its place."""
    path = tmp_path / "a.warc.gz"
    path.write_bytes(
        members(
            record(http(page("1"))),
            record(http(b"no gzip", "Content-Type: text/html", "Content-Encoding: gzip")),
            record(http(b"")),
            record(http(page("4"), status="301 Moved")),
            record(http(slow_page())),
            record(http(bytes(4_000))),
        )
        + b"rubbish"
        + members(record(http(page("8"))))[:-30]
    )
    found = pages(path, seconds=1, workers=2, max_bytes=2_000_000)
    assert [(each.line, each.reason) for each in found if isinstance(each, Reject)] == [
        (2, "broken_http"), (3, "empty"), (5, "timeout"), (6, "binary"), (7, "broken_record"), (8, "cut_off")
    ]  # fmt: skip
    assert [each for each in found if isinstance(each, Skip)] == [Skip("http_status")]
    assert [each.record for each in found if isinstance(each, Page)] == [1]
