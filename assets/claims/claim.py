"""The record of a claim. Every system publishes its claims as `claims/<system>` with these columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl

from assets.core.ids import content_id
from assets.core.statistics import Verdict

SCHEMA = pl.Schema(
    {
        "id": pl.String,
        "parents": pl.List(pl.String),
        "system": pl.String,
        "claim": pl.String,
        "metric": pl.String,
        "baseline": pl.String,
        "treatment": pl.String,
        "difference": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n_seeds": pl.Int64,
        "n_items": pl.Int64,
        "held_equal": pl.String,
        "verdict": pl.String,
        "note": pl.String,
    }
)


@dataclass(frozen=True)
class Claim:
    """Treatment minus baseline by one metric with its 95 % interval, what was held equal, and the verdict."""

    system: str
    claim: str
    metric: str
    baseline: str
    treatment: str
    difference: float
    low: float
    high: float
    n_seeds: int
    n_items: int
    held_equal: str
    verdict: Verdict
    note: str = ""
    parents: tuple[str, ...] = ()


def claims_frame(claims: Sequence[Claim]) -> pl.DataFrame:
    """Claims as rows; the id is derived from what is claimed."""
    rows = [
        asdict(claim)
        | {
            "id": content_id("claim", claim.system, claim.claim, claim.metric, claim.treatment, claim.baseline),
            "parents": list(claim.parents),
        }
        for claim in claims
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def markdown_table(claims: pl.DataFrame) -> str:
    """The claims for a person: one line each, the interval behind the difference."""
    lines = [
        "| claim | metric | treatment − baseline | difference [95 %] | seeds | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in claims.iter_rows(named=True):
        interval = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        verdict = row["verdict"].replace("_", " ") + (f" ({row['note']})" if row["note"] else "")
        lines.append(
            f"| {row['claim']} | {row['metric']} | {row['treatment']} − {row['baseline']} | {interval} "
            f"| {row['n_seeds']} | {verdict} |"
        )
    return "\n".join(lines)
