"""Which documents are scored, and what one model says of each."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.core.ids import content_id


def scored_documents(clusters: pl.DataFrame, *, train_sample_per_cluster: int) -> pl.DataFrame:
    """All held-out documents, and of each cluster the training documents with the smallest ids."""
    heldout = clusters.filter(pl.col("split") == "heldout")
    sampled = (
        clusters.filter(pl.col("split") == "train")
        .sort("cluster", "id")
        .group_by("cluster", maintain_order=True)
        .head(train_sample_per_cluster)
        .select(clusters.columns)
    )
    return pl.concat([heldout, sampled])


def score_rows(
    documents: pl.DataFrame, bits: NDArray[np.float64], *, plan: str, seed: int, checkpoint: str
) -> pl.DataFrame:
    """A row per document: what was scored, by which checkpoint, with what outcome."""
    ids = [content_id("score", checkpoint, document) for document in documents["id"]]
    parents = [[document, checkpoint] for document in documents["id"]]
    return documents.select(
        pl.Series("id", ids),
        pl.Series("parents", parents, dtype=pl.List(pl.String)),
        pl.lit(plan).alias("plan"),
        pl.lit(seed, dtype=pl.Int64).alias("seed"),
        pl.col("id").alias("document_id"),
        "split",
        "cluster",
        "package",
        "n_tokens",
        "n_bytes",
        pl.Series("bits", bits),
        pl.Series("bits_per_byte", bits / documents["n_bytes"].to_numpy()),
    )
