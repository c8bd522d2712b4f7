"""Long documents out of the corpora that there are, under one schema."""

from __future__ import annotations

import polars as pl

from assets.core.ids import content_id
from assets.corpora.crawl.extract import language_of

CANDIDATE_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "source": pl.String(),
        "domain": pl.String(),
        "language": pl.String(),
        "text": pl.String(),
        "n_bytes": pl.Int64(),
    }
)


def candidates_of(frame: pl.DataFrame, source: str, min_bytes: int) -> pl.DataFrame:
    """The documents of a source's batch with more than `min_bytes` bytes, as rows of CANDIDATE_SCHEMA.

    Repositories and documents of kind code are of the domain code and of no language; all others of the domain text,
    their language found where the source does not tell it.
    """
    columns = set(frame.columns)
    if "markdown" in columns:
        frame = frame.rename({"markdown": "text"})
        domain = pl.lit("code")
    elif "kind" in columns:
        domain = pl.when(pl.col("kind") == "code").then(pl.lit("code")).otherwise(pl.lit("text"))
    else:
        domain = pl.lit("text")
    long = frame.filter(pl.col("n_bytes") > min_bytes)
    ids = [content_id("long", source, name) for name in long["id"]]
    if "language" not in columns:
        long = long.with_columns(language=pl.Series([language_of(text) for text in long["text"]], dtype=pl.String))
    return long.select(
        id=pl.Series(ids, dtype=pl.String),
        parents=pl.concat_list("id"),
        source=pl.lit(source),
        domain=domain,
        language=pl.when(domain == "code").then(pl.lit("")).otherwise("language"),
        text="text",
        n_bytes="n_bytes",
    )
