"""One capture to a page, or why it is none."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from assets.core.ids import content_id
from assets.corpora.crawl.extract import Extraction, domain_of, language_of, read_page
from assets.corpora.crawl.schema import Capture, Page, Skip
from assets.corpora.schema import Reject
from tests.assets.corpora.crawl.tiny_warc import TEXT, http, page

CAPTURE = Capture("a.warc", 7, http(page()), "http", "https://www.example.org/a", "2023-03-20T10:00:00Z", "2023-14")


def test_a_page_has_text_language_domain_and_an_id_from_its_content() -> None:
    """The columns that everything downstream reads."""
    found = read_page(CAPTURE, Extraction())
    text = (TEXT * 4).strip()
    assert found == Page(
        id=content_id("https://www.example.org/a", "2023-03-20T10:00:00Z", text),
        url="https://www.example.org/a",
        domain="example.org",
        timestamp="2023-03-20T10:00:00Z",
        dump="2023-14",
        language="en",
        title="River",
        text=text,
        n_bytes=len(text),
        file="a.warc",
        record=7,
    )


def test_text_is_taken_as_it_is() -> None:
    """Records of a WET file are extracted already; only control characters and line ends are made plain."""
    content = b"\xef\xbb\xbf one\r\ntwo\x07 \n" + b"x" * 200
    found = read_page(replace(CAPTURE, content=content, media="text"), Extraction())
    assert isinstance(found, Page)
    assert found.text == "one\ntwo \n" + "x" * 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (http(page(), status="404 Not Found"), "http_status"),
        (http(page(), "Content-Type: image/png"), "content_type"),
        (http(b"<html><body></body></html>"), "no_text"),
    ],
)
def test_sound_records_that_are_no_pages_are_skipped(content: bytes, reason: str) -> None:
    """What is no fault of the file is counted, and is no dead letter."""
    assert read_page(replace(CAPTURE, content=content), Extraction()) == Skip(reason)


def test_languages_and_schemes_are_chosen() -> None:
    """Pages of other languages are dropped by their language, not by what their server says."""
    assert read_page(CAPTURE, Extraction(languages=frozenset({"fr"}))) == Skip("language")
    assert isinstance(read_page(CAPTURE, Extraction(languages=frozenset({"en"}))), Page)
    assert read_page(replace(CAPTURE, url="javascript:alert(1)"), Extraction()) == Skip("scheme")
    assert isinstance(read_page(replace(CAPTURE, url=""), Extraction()), Page)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "broken_http"),
        (b"no response at all", "broken_http"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000, "broken_http"),
        (http(b"no gzip", "Content-Type: text/html", "Content-Encoding: gzip"), "broken_http"),
        (http(b"no chunks", "Content-Type: text/html", "Transfer-Encoding: chunked"), "broken_http"),
        (http(b"x", "Content-Type: text/html", "Content-Encoding: of-my-own"), "broken_http"),
        (
            http(gzip.compress(bytes(100_000_000)), "Content-Type: text/html", "Content-Encoding: gzip"),
            "record_too_large",
        ),
        (http(b""), "empty"),
        (http(b" \r\n\t "), "empty"),
        (http(bytes(5_000)), "binary"),
        (http(b"%PDF-1.7\n" + bytes(range(256)) * 20), "binary"),
    ],
)
def test_faulty_records_are_rejected(content: bytes, reason: str) -> None:
    """Empty, binary and lying payloads, and a bomb: a dead letter with file, record and reason."""
    found = read_page(replace(CAPTURE, content=content), Extraction())
    assert isinstance(found, Reject)
    assert (found.file, found.line, found.reason) == ("a.warc", 7, reason)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_packed_bodies_are_unpacked(encoding: str) -> None:
    """Crawlers that store what came over the wire leave the unpacking to the reader."""
    import zlib

    packed = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[encoding](page())
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    headers = ("Content-Type: text/html", f"Content-Encoding: {encoding}", "Transfer-Encoding: chunked")
    found = read_page(replace(CAPTURE, content=http(chunked, *headers)), Extraction())
    assert isinstance(found, Page)
    assert found.text.startswith("The river rises")


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://a.b.example.co.uk/x", "example.co.uk"),
        ("http://user@www.example.org:80/", "example.org"),
        ("http://127.0.0.1:8000/", "127.0.0.1"),
        ("http://intranet/", "intranet"),
        ("http://[::1", ""),
        ("", ""),
    ],
)
def test_registered_domain(url: str, domain: str) -> None:
    """By the public suffix list; a host without one stands for itself, and a broken URL has none."""
    assert domain_of(url) == domain


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (TEXT * 3, "en"),
        ("Der Fluss entspringt in den Hügeln und windet sich durch Wiesen bis zum alten Hafen am Meer.", "de"),
        ("这条河发源于山间，蜿蜒穿过草地，最后在古老的港口小镇旁流入大海。", "zh"),
        ("הנהר נובע בגבעות ומתפתל בין כרי הדשא עד שהוא פוגש את הים ליד עיר הנמל הישנה.", "he"),
        ("xqz 17 zzkv", "un"),
        ("\x80\ud7ff\U0010ffff", "un"),
    ],
)
def test_language(text: str, language: str) -> None:
    """Codes of ISO 639-1 as they are today, and an answer for what is no language."""
    assert language_of(text) == language
