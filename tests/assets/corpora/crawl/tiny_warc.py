"""WARC records made by hand, so that they can be wrong in any way."""

from __future__ import annotations

import gzip
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from assets.corpora.crawl.extract import Extraction
from assets.corpora.crawl.pool import Found, read_pages
from assets.corpora.crawl.readers import read_captures
from assets.corpora.crawl.schema import Capture, Skip
from assets.corpora.listing import InputFile
from assets.corpora.schema import Reject

TEXT = "The river rises in the hills and winds through meadows until it meets the sea near the old harbour town. "


def page(words: str = "", title: str = "River") -> bytes:
    """A page with enough text to be one; `words` set it apart."""
    body = f"<article><p>{TEXT * 4}{words}</p></article>"
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>".encode()


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *(headers or ["Content-Type: text/html"])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def record(block: bytes, url: str = "https://www.example.org/a", *headers: str, kind: str = "response") -> bytes:
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {url}",
        "WARC-Date: 2023-03-20T10:00:00Z",
        *headers,
        f"Content-Length: {len(block)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def members(*records: bytes) -> bytes:
    """Each record as a gzip member of its own."""
    return b"".join(gzip.compress(each, mtime=0) for each in records)


def local(path: Path) -> InputFile:
    return InputFile(LocalFileSystem(), str(path), path.name, str(path))


def captures(path: Path, max_bytes: int = 1_500_000, dump: str = "") -> list[Capture | Skip | Reject]:
    return list(read_captures(local(path), dump, max_bytes))


def pages(path: Path, seconds: float = 5, workers: int = 1, max_bytes: int = 10_000_000) -> list[Found]:
    found = read_captures(local(path), "", max_bytes)
    return list(read_pages(found, Extraction(max_bytes=max_bytes), seconds, workers))
