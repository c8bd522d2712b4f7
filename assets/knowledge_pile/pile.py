"""From the hits of all queries to the pile: union with provenance, and filters. No I/O."""

from __future__ import annotations

import polars as pl

_SYMBOL = r"[^\p{L}\p{N}\s]"


def unite(hits: pl.LazyFrame, queries: pl.DataFrame) -> pl.DataFrame:
    """Every document once, ordered by id, with where it came from.

    `hits` has query_id, doc_id and bm25; `queries` has id and seed_id in the order of the query pool. Columns: doc_id,
    best_bm25, n_queries_hit, first_query_id (the earliest query of the pool that found it) and first_seed_id (the seed
    that this query goes back to).
    """
    known = queries.select("seed_id", query_id="id", place=pl.int_range(pl.len()))
    return (
        hits.select("query_id", "doc_id", "bm25")
        .join(known.lazy(), on="query_id", how="inner")
        .group_by("doc_id")
        .agg(
            best_bm25=pl.col("bm25").max(),
            n_queries_hit=pl.len().cast(pl.Int64),
            first_query_id=pl.col("query_id").sort_by("place").first(),
            first_seed_id=pl.col("seed_id").sort_by("place").first(),
        )
        .sort("doc_id")
        .collect(engine="streaming")
    )


def found_among(documents: pl.DataFrame, united: pl.DataFrame) -> pl.DataFrame:
    """The documents (`id`, …) that `united` holds, in their order, with its columns; their `id` is its `doc_id`.

    `united` is ordered by doc_id and searched by halving, so that many batches cost no more than their documents.
    """
    if united.is_empty():
        return documents.drop("id").head(0).hstack(united)
    places = united["doc_id"].search_sorted(documents["id"]).clip(upper_bound=united.height - 1)
    found = united[places]
    return documents.drop("id").hstack(found).filter(found["doc_id"] == documents["id"])


def filter_reasons(texts: pl.Series, *, min_words: int, max_words: int, max_symbol_share: float) -> pl.Series:
    """Why each text is dropped: `too_short`, `too_long` (words), `symbols` (too large a share of its characters is
    neither letter, digit nor white space), or "" for one that stays."""
    measured = pl.DataFrame({"text": texts}).select(
        words=pl.col("text").str.count_matches(r"\S+"),
        symbols=pl.col("text").str.count_matches(_SYMBOL) / pl.col("text").str.len_chars().clip(1),
    )
    reason = (
        pl.when(pl.col("words") < min_words)
        .then(pl.lit("too_short"))
        .when(pl.col("words") > max_words)
        .then(pl.lit("too_long"))
        .when(pl.col("symbols") > max_symbol_share)
        .then(pl.lit("symbols"))
        .otherwise(pl.lit(""))
    )
    return measured.select(reason=reason)["reason"]
