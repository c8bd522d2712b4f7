"""The crawl: clean pages, pages with planted defects and groups of duplicates, with their addresses and dates. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import polars as pl

from assets.core.ids import content_id
from assets.worlds.web_pages.config import WebPagesConfig
from assets.worlds.web_pages.defects import PLANTS, QUALITY, RULES, SAFETY
from assets.worlds.web_pages.html import render_html
from assets.worlds.web_pages.lexicon import BLOCKED_DOMAINS, SEEN, UNSEEN, Lexicon
from assets.worlds.web_pages.near import near_duplicate
from assets.worlds.web_pages.prose import Page, clean_page
from assets.worlds.web_pages.schema import WEB_PAGES

# Dumps of Common Crawl and the first day of each; the last is the newest.
DUMPS = {"2022-49": "2022-11-26", "2023-06": "2023-01-26", "2023-14": "2023-03-20"}
DUMP_DAYS = 14
N_DOMAINS = 60
DOMAIN_NAMES = ("almanac", "chronicle", "journal", "letters", "notebook", "review")
STAGES = {
    **dict.fromkeys(RULES, "rules"),
    **dict.fromkeys(SAFETY, "safety"),
    "blocked_domain": "safety",
    **dict.fromkeys(QUALITY, "quality"),
}


@dataclass(frozen=True)
class Truth:
    """What is wrong with a page; pages of one `group` (a number from 0) are copies or near copies of its first."""

    defect: str = ""
    stage: str = ""
    group: int | None = None
    jaccard: float | None = None
    unseen: bool = False


@dataclass(frozen=True)
class Draft:
    """A page with its truth, before it has an address. `dump` is drawn where it is empty."""

    page: Page
    truth: Truth
    dump: str = ""


def draw_pages(config: WebPagesConfig, seed: int) -> pl.DataFrame:
    """The crawl of a seed: rows of WEB_PAGES in order of crawl file and record."""
    random = Random(f"web pages {seed}")
    drafts = [*_clean(config, random), *_planted(config, random), *_duplicates(config, random)]
    random.shuffle(drafts)
    rows = [_row(draft, number, config, random) for number, draft in enumerate(drafts)]
    return _numbered(rows, drafts)


def _lexicon(config: WebPagesConfig, random: Random) -> tuple[Lexicon, bool]:
    unseen = random.random() < config.unseen_share
    return (UNSEEN if unseen else SEEN), unseen


def _clean(config: WebPagesConfig, random: Random) -> Iterator[Draft]:
    for _ in range(config.n_clean):
        lexicon, unseen = _lexicon(config, random)
        yield Draft(clean_page(lexicon, random), Truth(unseen=unseen))


def _planted(config: WebPagesConfig, random: Random) -> Iterator[Draft]:
    for defect in STAGES:
        for _ in range(config.n_planted):
            lexicon, unseen = _lexicon(config, random)
            page = PLANTS.get(defect, clean_page)(lexicon, random)
            yield Draft(page, Truth(defect, STAGES[defect], unseen=unseen))


def _duplicates(config: WebPagesConfig, random: Random) -> Iterator[Draft]:
    """Groups of equal pages, then pairs of each similarity; the newest page of a group should stay."""
    groups = [1.0] * config.n_exact_groups + [each for each in config.similarities for _ in range(config.n_pairs)]
    for group, planned in enumerate(groups):
        lexicon, unseen = _lexicon(config, random)
        page = clean_page(lexicon, random)
        size = random.randint(2, len(DUMPS)) if planned == 1 else 2
        dumps = random.sample(list(DUMPS), size)
        similar, jaccard = (page.paragraphs, 1.0) if planned == 1 else near_duplicate(page.paragraphs, planned, random)
        for place, dump in enumerate(dumps):
            goes = planned >= config.threshold and dump != max(dumps)
            truth = Truth(
                "exact_duplicate" if planned == 1 else "near_duplicate",
                "dedup" if goes else "", group, jaccard, unseen,
            )  # fmt: skip
            yield Draft(page if place == 0 else Page(page.title, similar, page.topic), truth, dump)


def _row(draft: Draft, number: int, config: WebPagesConfig, random: Random) -> dict[str, object]:
    page, truth = draft.page, draft.truth
    dump = draft.dump or random.choice(list(DUMPS))
    seconds = random.randrange(DUMP_DAYS * 86_400)
    timestamp = f"{datetime.fromisoformat(DUMPS[dump]) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
    domain = random.choice(BLOCKED_DOMAINS) if truth.defect == "blocked_domain" else _domain(random)
    # The number keeps addresses apart; titles repeat.
    url = f"https://{domain}/{page.topic}/{number}-{'-'.join(page.title.lower().split())}"
    return {
        "id": content_id(url, timestamp, page.text), "parents": [], "url": url, "domain": domain,
        "timestamp": timestamp, "dump": dump, "source": "webpage", "language": "en", "title": page.title,
        "text": page.text, "n_bytes": len(page.text.encode()),
        "file": f"CC-MAIN-{dump}-{random.randrange(config.files_per_dump):05}.warc.gz",
        "html": render_html(page, domain, random), "defect": truth.defect, "stage": truth.stage,
        "jaccard": truth.jaccard, "topic": page.topic, "unseen": truth.unseen,
    }  # fmt: skip


def _domain(random: Random) -> str:
    return f"{random.choice(DOMAIN_NAMES)}{random.randrange(N_DOMAINS // len(DOMAIN_NAMES))}.example"


def _numbered(rows: Sequence[dict[str, object]], drafts: Sequence[Draft]) -> pl.DataFrame:
    """Rows in order of their files, with their place in the file and the id of their group's first page."""
    first: dict[int, object] = {}
    for row, draft in zip(rows, drafts, strict=True):
        if draft.truth.group is not None:
            row["original"] = first.setdefault(draft.truth.group, row["id"])
    places = Counter[str]()
    ordered = sorted(rows, key=lambda row: str(row["file"]))
    for row in ordered:
        places[str(row["file"])] += 1
        row["record"] = places[str(row["file"])]
    return pl.DataFrame([{"original": None, **row} for row in ordered], schema=WEB_PAGES)
