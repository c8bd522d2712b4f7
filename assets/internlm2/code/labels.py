"""Reading files that people judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from assets.core.ids import content_id
from assets.core.lake import DatasetWriter
from assets.corpora.files import FileSource, inventory
from assets.corpora.records import RecordSource, read_records
from assets.corpora.schema import Reject

LABEL_SCHEMA = pl.Schema(
    {"id": pl.String(), "language": pl.String(), "text": pl.String(), "label": pl.Int64(), "split": pl.String()}
)
LABELS = {"high": 0, "moderate": 0, "low": 1}
MAX_ROW_BYTES = 10_000_000


def label_files(path: str) -> Mapping[str, Any]:
    """Names and digests of the files behind a path; nothing for an empty one."""
    return {"files": inventory(FileSource(path))} if path else {}


def read_labels(out: DatasetWriter, path: str, heldout_share: float) -> None:
    """Write the labelled files, `label` 1 for low; by a hash of the text a share of them is held out (split test)."""
    rows: dict[str, tuple[str, str, str, int, str]] = {}
    for found in read_records(RecordSource(path, max_row_bytes=MAX_ROW_BYTES)) if path else ():
        out.ledger.rows_in += 1
        if isinstance(found, Reject):
            out.dead_letter(file=found.file, line=found.line, reason=found.reason, detail=found.detail)
            continue
        text, language, label = (found.values.get(name) for name in ("text", "language", "label"))
        if not isinstance(text, str) or not isinstance(language, str) or label not in LABELS:
            out.dead_letter(
                file=found.file, line=found.line, reason="not_a_label",
                detail="a row has text, language, and label high, moderate or low",
            )  # fmt: skip
            continue
        name = content_id("label", text)
        if name in rows:
            out.ledger.drop("duplicate")
            continue
        split = "test" if int(name[:8], 16) < heldout_share * 2**32 else "train"
        rows[name] = (name, language, text, LABELS[label], split)
    out.write(pl.DataFrame(list(rows.values()), schema=LABEL_SCHEMA, orient="row"))
