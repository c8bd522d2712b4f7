"""Measures over the lines and paragraphs of many documents at once. Empty lines part paragraphs and do not count."""

from __future__ import annotations

import numpy as np
import polars as pl

BULLETS = r"^\s*[•\-]"
ELLIPSIS = r"(\.\.\.|…)$"
TERMINAL = r"""[.!?…。！？؟।]["'”’»）)\]]*$"""
# Phrases of C4's line filter (Raffel et al. 2020, and its code in TensorFlow Datasets).
BOILERPLATE = ("javascript", "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies")
SHORT_LINE = 30


def pieces(text: pl.Series, separator: str) -> pl.DataFrame:
    """A row per line or paragraph: `row` of its document, `piece`, `length` in characters, and whether it came before
    in its document (`again`)."""
    split = (
        pl.DataFrame({"row": np.arange(len(text)), "piece": text.str.split(separator)})
        .explode("piece", empty_as_null=False)
        .filter(pl.col("piece") != "")
    )
    key = split["piece"].hash(seed=0).to_numpy() + split["row"].to_numpy().astype(np.uint64) * np.uint64(
        0x9E3779B97F4A7C15
    )
    return split.with_columns(
        length=pl.col("piece").str.len_chars().cast(pl.Int64), again=~pl.Series(key).is_first_distinct()
    )


def repeated_pieces(found: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Per document: the `share` of its pieces that came before, and the `characters` in them."""
    again = pl.col("again")
    return _by_row(
        found.group_by("row").agg(share=again.mean(), characters=pl.col("length").filter(again).sum()), rows
    ).fill_null(0)


def line_measures(lines: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Per document the shares of its lines that begin with a bullet, end with an ellipsis, end a sentence, are short
    (30 characters, as FineWeb's) or hold a phrase of C4's boilerplate; and the mean length in characters."""
    line = pl.col("piece")
    return _by_row(
        lines.group_by("row").agg(
            lines=pl.len(),
            bullets=line.str.contains(BULLETS).mean(),
            ellipses=line.str.contains(ELLIPSIS).mean(),
            terminated=line.str.contains(TERMINAL).mean(),
            short=(pl.col("length") <= SHORT_LINE).mean(),
            boilerplate=line.str.contains_any(list(BOILERPLATE), ascii_case_insensitive=True).mean(),
            length=pl.col("length").mean(),
        ),
        rows,
    )


def _by_row(found: pl.DataFrame, rows: int) -> pl.DataFrame:
    everyone = pl.DataFrame({"row": np.arange(rows)})
    return everyone.join(found, on="row", how="left", maintain_order="left").drop("row")
