"""Asset of the crawls: pages, one partition a crawl file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import Input, recipe
from assets.core.rows import RowsResource
from assets.corpora.crawl.config import CRAWL_FILES, CrawlConfig
from assets.corpora.crawl.extract import Extraction
from assets.corpora.crawl.files import crawl_file, inventory
from assets.corpora.crawl.plots import plot_counts
from assets.corpora.crawl.pool import Found, read_pages
from assets.corpora.crawl.readers import read_captures
from assets.corpora.crawl.schema import Page, Skip, pages_frame
from assets.corpora.schema import Reject

BATCH_PAGES = 1_000
# Whose versions decide what a page's text, title, language and domain are.
LIBRARIES = ("trafilatura", "lxml", "jusText", "charset-normalizer", "pycld2", "courlan", "tld")


def outside(config: CrawlConfig, partition: str) -> Mapping[str, Any]:
    """The digest of the partition's own file, and the versions of the libraries that read it."""
    return {**inventory(config, partition), "libraries": {name: version(name) for name in LIBRARIES}}


@recipe(
    "corpora/pages",
    inputs={"web_crawl": Input("worlds/web_crawl")},
    partitions=CRAWL_FILES,
    external=outside,
    resources=("rows",),
    tags={"stage": "format"},
)
def pages(out: DatasetWriter, config: CrawlConfig, partition: str, web_crawl: Dataset, rows: RowsResource) -> None:
    """Pages of one crawl file: main text, title, language, registered domain; the generated crawl without a folder."""
    file = crawl_file(config, web_crawl, partition)
    captures = read_captures(file, config.dump, config.max_record_bytes)
    found = read_pages(captures, extraction(config), config.seconds, rows.processes)
    write_pages(out, track(found, label=file.relative, unit=" records"))


def extraction(config: CrawlConfig) -> Extraction:
    return Extraction(
        favour=config.favour,
        comments=config.comments,
        tables=config.tables,
        languages=frozenset(config.languages),
        schemes=frozenset(config.schemes),
        max_bytes=config.max_record_bytes,
    )


def write_pages(out: DatasetWriter, records: Iterable[Found]) -> None:
    """Write pages in batches, each id once; skips are dropped by reason, rejects go to the dead letters."""
    batch: list[Page] = []
    seen: set[bytes] = set()
    languages: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    for record in records:
        out.ledger.rows_in += 1
        if isinstance(record, Reject):
            out.dead_letter(file=record.file, line=record.line, reason=record.reason, detail=record.detail)
        elif isinstance(record, Skip):
            out.ledger.drop(record.reason)
        elif (key := bytes.fromhex(record.id)) in seen:
            out.ledger.drop("repeated")
        else:
            seen.add(key)
            languages[record.language] += 1
            domains[record.domain] += 1
            batch.append(record)
            if len(batch) == BATCH_PAGES:
                out.write(pages_frame(batch))
                batch = []
    if batch or not out.columns:
        out.write(pages_frame(batch))
    out.describe(languages=dict(languages.most_common()), domains=len(domains))
    out.plot("languages", plot_counts(languages, "language"))
    out.plot("domains", plot_counts(domains, "domain"))
