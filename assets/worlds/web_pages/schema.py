"""Rows of the generated pages."""

from __future__ import annotations

import polars as pl

from assets.corpora.crawl.schema import PAGE_SCHEMA

# The truth of a page, which no stage may see. `defect` is "" for a clean page; `stage` is the one that should remove it
# ("rules", "dedup", "safety", "quality"), "" where the page should stay. Pages of a duplicate group have the same
# `original`, the id of its first page, and `jaccard`, the exact similarity of word 5-grams that was planned for the
# group; both are null elsewhere. `unseen` says that no labelled page has the page's topic or its defect's sentences.
TRUTH = {
    "defect": pl.String(),
    "stage": pl.String(),
    "original": pl.String(),
    "jaccard": pl.Float64(),
    "topic": pl.String(),
    "unseen": pl.Boolean(),
}
# `text` is what extraction should find in `html`.
WEB_PAGES = pl.Schema({**PAGE_SCHEMA, "html": pl.String(), **TRUTH})
WEB_CRAWL = pl.Schema({**PAGE_SCHEMA, **TRUTH})
LABELLED_PAGES = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "task": pl.String(),
        "label": pl.Int64(),
        "split": pl.String(),
        "text": pl.String(),
    }
)
