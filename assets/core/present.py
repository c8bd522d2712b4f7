"""A dataset as Dagster metadata: rows, columns, preview, digest, path, seconds, plots."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.core.lake import Dataset

COUNTED = ("requests", "asked", "reused", "failed", "prompt_tokens", "completion_tokens", "cost", "seconds")


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
        "path": dg.MetadataValue.path(dataset.store.url(dataset.location)),
        "seconds": manifest.seconds,
    }
    if manifest.preview:
        described["preview"] = dg.MetadataValue.md(manifest.preview)
    if manifest.ledger:
        described["ledger"] = dg.MetadataValue.json(manifest.ledger)
    if manifest.dead_letters:
        described["dead_letters"] = manifest.dead_letters
    described |= _roles(manifest.roles)
    for name, value in manifest.metadata.items():
        described[name] = _value(value)
    for name in manifest.plots:
        picture = base64.b64encode(dataset.file(name).read_bytes()).decode()
        described[name.removesuffix(".png")] = dg.MetadataValue.md(f"![{name}](data:image/png;base64,{picture})")
    return described


def _roles(roles: Mapping[str, Any]) -> dict[str, Any]:
    """Who played the roles, what it took, and the sums as numbers that the UI plots over runs."""
    if not roles:
        return {}
    bindings = {name: each["binding"] for name, each in roles.items()}
    usage = {name: {part: each[part] for part in each if part != "binding"} for name, each in roles.items()}
    counted = [each["usage"] for each in roles.values() if "usage" in each]
    sums = {f"generation/{name}": sum(each[name] or 0 for each in counted) for name in COUNTED if counted}
    return {"roles": dg.MetadataValue.json(bindings), "generation": dg.MetadataValue.json(usage), **sums}


def _value(value: Any) -> Any:
    """JSON for mappings and lists, Markdown for a table, else the value itself."""
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    if isinstance(value, str) and value.startswith("| "):
        return dg.MetadataValue.md(value)
    return value
