"""A dataset as Dagster metadata: rows, columns, preview, digest, path, seconds, plots."""

from __future__ import annotations

import base64
from typing import Any

import dagster as dg

from assets.core.lake import Dataset

PREVIEW_ROWS = 5
PREVIEW_WIDTH = 60


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Metadata of a materialization under the names that the Dagster UI knows."""
    manifest = dataset.manifest
    counted = "dagster/partition_row_count" if manifest.partition else "dagster/row_count"
    described: dict[str, Any] = {
        counted: dataset.rows,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind) for name, kind in manifest.columns.items()]
        ),
        "digest": manifest.digest(),
        "path": dg.MetadataValue.path(str(dataset.store.local(dataset.location, "manifest.json").parent)),
        "seconds": manifest.seconds,
    }
    if dataset.rows:
        described["preview"] = dg.MetadataValue.md(preview(dataset))
    if manifest.ledger:
        described["ledger"] = dg.MetadataValue.json(manifest.ledger)
    if manifest.dead_letters:
        described["dead_letters"] = manifest.dead_letters
    for name, value in manifest.metadata.items():
        described[name] = dg.MetadataValue.json(value) if isinstance(value, dict | list) else value
    for name in manifest.plots:
        picture = base64.b64encode(dataset.file(name).read_bytes()).decode()
        described[name.removesuffix(".png")] = dg.MetadataValue.md(f"![{name}](data:image/png;base64,{picture})")
    return described


def preview(dataset: Dataset) -> str:
    """The first rows as a Markdown table, long values cut."""
    import polars as pl

    rows = pl.read_parquet(dataset.shard_paths()[0], n_rows=PREVIEW_ROWS)
    lines = ["| " + " | ".join(rows.columns) + " |", "|" + " --- |" * len(rows.columns)]
    for row in rows.iter_rows():
        lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= PREVIEW_WIDTH else f"{text[: PREVIEW_WIDTH - 1]}…"
