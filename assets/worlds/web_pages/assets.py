"""Assets of the generated crawl: pages with their truth, the same as WARC files, and labelled pages."""

from __future__ import annotations

import polars as pl

from assets.core.lake import DatasetWriter
from assets.core.recipe import recipe
from assets.worlds.web_pages.config import SEEDS, LabelledPagesConfig, WebCrawlConfig, WebPagesConfig
from assets.worlds.web_pages.crawl import draw_pages
from assets.worlds.web_pages.labelled import draw_labelled
from assets.worlds.web_pages.lexicon import BLOCKED_DOMAINS, BLOCKED_WORDS
from assets.worlds.web_pages.schema import WEB_CRAWL
from assets.worlds.web_pages.warc import write_warc


@recipe("worlds/web_pages", partitions=SEEDS, tags={"stage": "generate"})
def web_pages(out: DatasetWriter, config: WebPagesConfig, partition: str) -> None:
    """Web pages of which it is known what is wrong with them, one crawl a seed; with the lists of what is blocked."""
    pages = draw_pages(config, int(partition))
    _publish(out, pages)


@recipe("worlds/web_crawl", tags={"stage": "generate"})
def web_crawl(out: DatasetWriter, config: WebCrawlConfig) -> None:
    """A generated crawl as WARC files beside the rows that tell which page lies where and what is wrong with it."""
    pages = draw_pages(config, config.seed)
    for (name,), rows in pages.group_by("file", maintain_order=True):
        write_warc(out.folder / str(name), rows.iter_rows(named=True))
    _publish(out, pages.select(WEB_CRAWL.names()))


def _publish(out: DatasetWriter, pages: pl.DataFrame) -> None:
    out.ledger.rows_in = pages.height
    out.write(pages)
    for name, blocked in (("blocked_domains.txt", BLOCKED_DOMAINS), ("blocked_words.txt", BLOCKED_WORDS)):
        (out.folder / name).write_text("".join(f"{each}\n" for each in blocked))
    out.describe(
        pages=dict(pages.group_by("defect").len().sort("defect").iter_rows()),
        to_remove=dict(pages.group_by("stage").len().sort("stage").iter_rows()),
        files=dict(pages.group_by("file").len().sort("file").iter_rows()),
    )


@recipe("worlds/labelled_pages", tags={"stage": "generate"})
def labelled_pages(out: DatasetWriter, config: LabelledPagesConfig) -> None:
    """Pages labelled good or bad for the classifiers of adverts, fluency, toxicity and pornography."""
    rows = draw_labelled(config)
    out.ledger.rows_in = rows.height
    out.write(rows)
    out.describe(pages={task: found.height for (task,), found in rows.group_by("task", maintain_order=True)})
