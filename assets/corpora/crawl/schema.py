"""A page row, and what takes its place when a record of a crawl gives none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

import polars as pl

PAGE_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "url": pl.String(),
        "domain": pl.String(),
        "timestamp": pl.String(),
        "dump": pl.String(),
        "source": pl.String(),
        "language": pl.String(),
        "title": pl.String(),
        "text": pl.String(),
        "n_bytes": pl.Int64(),
        "file": pl.String(),
        "record": pl.Int64(),
    }
)


@dataclass(frozen=True, slots=True)
class Capture:
    """A record of a crawl before extraction.

    `record` counts from 1 within its `file`, `timestamp` is ISO 8601 and `dump` such as "2023-14"; both may be empty,
    as may `url` and `title`. `content` is a whole HTTP response, HTML or text.
    """

    file: str
    record: int
    content: bytes
    media: Literal["http", "html", "text"]
    url: str = ""
    timestamp: str = ""
    dump: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: main text and where it came from.

    `domain` is the registered domain, else the host; `language` is ISO 639-1, "un" where none could be told. `n_bytes`
    is the text's size in UTF-8. `parents` are empty: a page is read from outside.
    """

    id: str
    url: str
    domain: str
    timestamp: str
    dump: str
    language: str
    title: str
    text: str
    n_bytes: int
    file: str
    record: int
    source: str = "webpage"
    parents: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Skip:
    """A record that is sound but no page, such as a picture: it is counted by its reason."""

    reason: str


def pages_frame(pages: Iterable[Page]) -> pl.DataFrame:
    """Pages as a frame of PAGE_SCHEMA."""
    return pl.DataFrame([asdict(page) for page in pages], schema=PAGE_SCHEMA)
