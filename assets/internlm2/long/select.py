"""Which long documents are kept: those that break no limit and whose context helps."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from assets.core.audit import VERDICTS


def select_verdicts(statistics: pl.DataFrame, perplexity: pl.DataFrame, min_delta: Mapping[str, float]) -> pl.DataFrame:
    """Verdicts with domain and ppl_delta, in the order of `statistics` (id, domain, language and what limit is broken).

    A document with a `ppl_delta` below the least of its domain and language, or of its domain, is dropped as
    context_hurts. One without (it has no whole chunk, or its domain no least) is kept unless it breaks a limit.
    """
    rows = []
    for row in statistics.join(perplexity, on="id", how="left", maintain_order="left").iter_rows(named=True):
        reason, score, threshold, delta = row["reason"], row["score"], row["threshold"], row["ppl_delta"]
        least = least_delta(min_delta, row["domain"], row["language"])
        if not reason and delta is not None and least is not None and delta < least:
            reason, score, threshold = "context_hurts", delta, least
        rows.append((row["id"], reason, score, threshold, "", row["domain"], delta))
    schema = {**VERDICTS, "domain": pl.String(), "ppl_delta": pl.Float64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def least_delta(min_delta: Mapping[str, float], domain: str, language: str) -> float | None:
    """The least `ppl_delta` of a domain and language, else of the domain; None where there is none."""
    return min_delta.get(f"{domain}/{language}", min_delta.get(domain))
