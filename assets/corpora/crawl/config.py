"""Configuration of the crawls."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

CRAWL_FILES = dg.DynamicPartitionsDefinition(name="crawl_files")


class CrawlConfig(dg.Config):
    """`corpora/pages`. Without a source named, a value is our default."""

    folder: str = Field(
        default_factory=lambda: os.environ.get("ATHANOR_CRAWL", ""),
        description="Folder or single file of a crawl, a path or an fsspec URL. Default: the variable ATHANOR_CRAWL; "
        "empty: the crawl files of `worlds/web_crawl`.",
    )
    dump: str = Field("", description="The crawl's name, such as 2023-14, for files that do not tell it themselves.")
    favour: Literal["balanced", "precision", "recall"] = Field(
        "balanced", description="Of main-text extraction: less boilerplate or less loss; trafilatura's default."
    )
    comments: bool = Field(True, description="Readers' comments belong to the text; trafilatura's default.")
    tables: bool = Field(True, description="Tables belong to the text; trafilatura's default.")
    languages: list[str] = Field([], description="Languages kept, as ISO 639-1 codes; empty keeps all.")
    schemes: list[str] = Field(["http", "https"], description="Schemes of the URLs kept; a page without URL is kept.")
    seconds: float = Field(5.0, gt=0, description="Of processor time that one record may take; then it is killed.")
    max_record_bytes: int = Field(
        10_000_000, gt=0, description="A larger record, also one that unpacks to more, goes to the dead letters. Bytes."
    )


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    crawl: CrawlConfig


TINY = Config(CrawlConfig())
PAPER = Config(CrawlConfig())
