"""Classes high, moderate and low by a language's quantiles, and whether a model may score a language."""

from __future__ import annotations

import polars as pl

from assets.internlm2.code.config import ScoreConfig

HIGH, MODERATE, LOW = "high", "moderate", "low"


def assign_classes(scores: pl.DataFrame, config: ScoreConfig) -> pl.DataFrame:
    """`scores` (id, language, kind, n_bytes, reason, score) with `quality`, and `reason` low_score where that drops.

    Within each language the best files that fill at most `high_share` of its code's bytes are high, the worst that
    fill at most `low_share` are low; files that a rule named are low and count first. Ties fall by id. Languages with
    less than `low_resource_share` of all bytes lose no file by its score. Documents have no class of their own: they
    are moderate unless a rule named them. Rows come back in their order.
    """
    is_code = pl.col("kind") == "code"
    total = max(1, int(scores.filter(is_code)["n_bytes"].sum()))
    ruled = pl.col("reason") != ""
    ordered = scores.with_row_index("place").sort(
        "kind", "language", ~ruled, pl.when(ruled).then(None).otherwise(pl.col("score")), "id"
    )
    groups = ["kind", "language"]
    bytes_of_language = pl.col("n_bytes").sum().over(groups)
    up_to = pl.col("n_bytes").cum_sum().over(groups)
    at_least = bytes_of_language - up_to + pl.col("n_bytes")
    quality = (
        pl.when(ruled)
        .then(pl.lit(LOW))
        .when(~is_code)
        .then(pl.lit(MODERATE))
        .when(
            (up_to <= config.low_share * bytes_of_language) & (bytes_of_language >= config.low_resource_share * total)
        )
        .then(pl.lit(LOW))
        .when(at_least <= config.high_share * bytes_of_language)
        .then(pl.lit(HIGH))
        .otherwise(pl.lit(MODERATE))
    )
    judged = ordered.with_columns(quality=quality)
    reason = pl.when((pl.col("quality") == LOW) & ~ruled).then(pl.lit("low_score")).otherwise(pl.col("reason"))
    return judged.with_columns(reason=reason).sort("place").drop("place")


def agreement(labels: pl.DataFrame, config: ScoreConfig) -> pl.DataFrame:
    """By language: held-out rows, Cohen's kappa between people and model, and whether the model scores it.

    `labels` has language, label (1 = low) and predicted (the same, of the model). Kappa is what is agreed beyond
    chance (Cohen 1960); 0 where the labels are all of one kind, which no chance could miss.
    """
    from sklearn.metrics import cohen_kappa_score

    rows = []
    for (language,), group in sorted(labels.group_by("language"), key=lambda pair: pair[0]):
        varied = group["label"].n_unique() > 1
        kappa = float(cohen_kappa_score(group["label"], group["predicted"])) if varied else 0.0
        rows.append(
            (language, group.height, kappa, group.height >= config.min_heldout and kappa >= config.min_agreement)
        )
    schema = {"language": pl.String, "rows": pl.Int64, "kappa": pl.Float64, "trusted": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def class_shares(scores: pl.DataFrame) -> dict[str, float]:
    """Share of the code's bytes in each class."""
    code = scores.filter(pl.col("kind") == "code")
    total = max(1, int(code["n_bytes"].sum()))
    return {
        name: round(int(code.filter(pl.col("quality") == name)["n_bytes"].sum()) / total, 4)
        for name in (HIGH, MODERATE, LOW)
    }
