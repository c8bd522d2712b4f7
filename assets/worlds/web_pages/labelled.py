"""Labelled pages for the classifiers of the text pipeline, drawn apart from every crawl. Pure."""

from __future__ import annotations

from random import Random

import polars as pl

from assets.core.ids import content_id
from assets.worlds.web_pages.config import LabelledPagesConfig
from assets.worlds.web_pages.defects import TASKS
from assets.worlds.web_pages.lexicon import SEEN
from assets.worlds.web_pages.prose import clean_page
from assets.worlds.web_pages.schema import LABELLED_PAGES


def draw_labelled(config: LabelledPagesConfig) -> pl.DataFrame:
    """Rows of LABELLED_PAGES: of each task and split every second page is bad."""
    rows = []
    for task, plants in TASKS.items():
        random = Random(f"labelled pages {config.seed} {task}")
        for split, size in (("train", config.n_train), ("test", config.n_test)):
            for number in range(size):
                bad = number % 2
                page = plants[number // 2 % len(plants)](SEEN, random) if bad else clean_page(SEEN, random)
                rows.append(
                    {
                        "id": content_id("labelled", task, page.text), "parents": [], "task": task, "label": bad,
                        "split": split, "text": page.text,
                    }
                )  # fmt: skip
    return pl.DataFrame(rows, schema=LABELLED_PAGES)
