"""Why a stage dropped a document: verdicts, and the audit of what was dropped.

A stage is a pure function from a frame of documents to verdicts: one row per document, in the frame's order, with the
first reason that applies ("" where it is kept), the score, and the threshold that the score passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from assets.core.lake import Dataset, DatasetWriter

VERDICTS = pl.Schema(
    {
        "id": pl.String(),
        "reason": pl.String(),
        "score": pl.Float64(),
        "threshold": pl.Float64(),
        "dup_of": pl.String(),
    }
)
AUDIT_SCHEMA = pl.Schema({"id": pl.String(), "stage": pl.String()} | {name: VERDICTS[name] for name in VERDICTS})
AUDIT = "audit.jsonl"


@dataclass(frozen=True)
class Limit:
    """A document is dropped for `reason` when its score lies beyond the threshold; a null score is not judged."""

    reason: str
    threshold: float
    drops: Literal["above", "below"] = "above"


def judge(ids: pl.Series, scores: pl.DataFrame, limits: Sequence[Limit]) -> pl.DataFrame:
    """Verdicts by the first limit that a document breaks; `scores` has a column for the reason of each limit."""
    broken = [
        pl.when(
            pl.col(limit.reason) > limit.threshold if limit.drops == "above" else pl.col(limit.reason) < limit.threshold
        )
        for limit in limits
    ]
    pairs = list(zip(broken, limits, strict=True))
    return scores.select(
        id=ids,
        reason=pl.coalesce(*(fires.then(pl.lit(limit.reason)) for fires, limit in pairs), pl.lit("")),
        score=pl.coalesce(*(fires.then(pl.col(limit.reason).cast(pl.Float64)) for fires, limit in pairs)),
        threshold=pl.coalesce(*(fires.then(pl.lit(float(limit.threshold))) for fires, limit in pairs)),
        dup_of=pl.lit(""),
    ).cast(dict(VERDICTS))  # type: ignore[arg-type]


def with_verdicts(frame: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Documents and verdicts as one frame, so that a pool of processes can hand both back; see `apply_judged`."""
    return frame.hstack(verdicts.drop("id"))


def apply_judged(out: DatasetWriter, judged: pl.DataFrame, stage: str) -> None:
    """`apply_verdicts` for a frame made by `with_verdicts`."""
    columns = [name for name in VERDICTS if name != "id"]
    apply_verdicts(out, judged.drop(columns), judged.select("id", *columns), stage)


def apply_verdicts(out: DatasetWriter, frame: pl.DataFrame, verdicts: pl.DataFrame, stage: str) -> None:
    """Write the rows kept, count the others by reason, and append them to the audit beside the dataset.

    `rows_in` is the recipe's to count. The audit is lines of JSON (AUDIT_SCHEMA), because these can be appended batch
    by batch, and their bytes do not tell in what batches they came. Raises ValueError when the verdicts are of other
    rows, or in another order.
    """
    if not verdicts["id"].equals(frame["id"]):
        raise ValueError(f"the verdicts of the stage {stage!r} are not of these rows in this order")
    kept = verdicts["reason"] == ""
    out.write(frame.filter(kept))
    dropped = verdicts.filter(~kept)
    for reason, rows in dropped.group_by("reason").len().sort("reason").rows():
        out.ledger.drop(reason, rows)
    with (out.folder / AUDIT).open("ab") as file:
        dropped.with_columns(stage=pl.lit(stage)).select(AUDIT_SCHEMA.names()).write_ndjson(file)


def read_audit(dataset: Dataset) -> pl.DataFrame:
    """The documents that a stage dropped (AUDIT_SCHEMA), in the order in which it met them."""
    path = dataset.file(AUDIT)
    if not path.stat().st_size:
        return pl.DataFrame(schema=AUDIT_SCHEMA)
    return pl.read_ndjson(path, schema=AUDIT_SCHEMA)
