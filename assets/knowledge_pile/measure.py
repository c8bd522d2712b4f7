"""What is measured of a selection and of a checkpoint. No I/O; here, and not in the method, the labels are read."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.core.ids import content_id


def retrieval_by_module(selected: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """What was selected of each module of the domain, ordered by module.

    `selected` has document_id and n_tokens, a row per draw; `labels` has id, module, in_domain and n_tokens of all
    passages of the pool. Columns: module, passages and tokens (in the pool), found (distinct passages selected) and
    drawn_tokens.
    """
    draws = selected.group_by("document_id").agg(pl.col("n_tokens").sum())
    return (
        labels.filter("in_domain")
        .join(draws, left_on="id", right_on="document_id", how="left", suffix="_drawn")
        .group_by("module")
        .agg(
            passages=pl.len().cast(pl.Int64),
            tokens=pl.col("n_tokens").sum(),
            found=pl.col("n_tokens_drawn").is_not_null().sum().cast(pl.Int64),
            drawn_tokens=pl.col("n_tokens_drawn").sum().cast(pl.Int64),
        )
        .sort("module")
    )


def retrieval_measures(selected: pl.DataFrame, labels: pl.DataFrame) -> dict[str, float]:
    """Precision and recall of the distinct passages against the hidden label, and the domain's share of the tokens."""
    modules = retrieval_by_module(selected, labels)
    found = int(modules["found"].sum())
    return {
        "precision": found / selected["document_id"].n_unique(),
        "recall": found / max(1, int(modules["passages"].sum())),
        "domain_share": int(modules["drawn_tokens"].sum()) / int(selected["n_tokens"].sum()),
    }


def score_rows(
    heldout: pl.DataFrame, bits: NDArray[np.float64], *, arm: str, seed: int, checkpoint: str
) -> pl.DataFrame:
    """A row per held-out passage (id, module, in_domain, n_tokens, n_bytes): what its text costs the checkpoint."""
    names = [content_id("score", checkpoint, name) for name in heldout["id"]]
    parents = [[name, checkpoint] for name in heldout["id"]]
    return heldout.select(
        pl.Series("id", names, dtype=pl.String),
        pl.Series("parents", parents, dtype=pl.List(pl.String)),
        pl.lit(arm).alias("arm"),
        pl.lit(seed, dtype=pl.Int64).alias("seed"),
        pl.col("id").alias("document_id"),
        "module",
        "in_domain",
        "n_tokens",
        "n_bytes",
        pl.Series("bits", bits),
        pl.Series("bits_per_byte", bits / heldout["n_bytes"].to_numpy()),
    )
