"""Partitions that are published while another asset is made: the iterations of a training that takes hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import dagster as dg
import polars as pl

from assets.core.fingerprint import fingerprint
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.present import describe_dataset


class Published:
    """Publishes dynamic partitions of the asset `key`, which have its name, and tells Dagster of each at once."""

    def __init__(self, key: str, lake: Lake, context: dg.AssetExecutionContext) -> None:
        self._key = key
        self._lake, self._context = lake, context

    def publish(self, partition: str, made_by: str, fill: Callable[[DatasetWriter], None]) -> Dataset:
        """The dataset that `fill` writes. `made_by` is the fingerprint of the asset in whose making it arises; with an
        equal one the partition is there already and stays."""
        mark = fingerprint({"made_by": made_by, "partition": partition})
        with self._lake.hold(self._key, partition):
            known = self._lake.version(self._key, partition, mark)
            if known is not None and known.is_whole:
                return known
            dataset = self._lake.build(
                key=self._key, partition=partition, kind="dataset", fingerprint=mark, ingredients={"made_by": made_by},
                fill=fill, keeps_ledger=False,
            )  # fmt: skip
        self._context.instance.add_dynamic_partitions(self._key, [partition])
        self._context.log_event(
            dg.AssetMaterialization(
                self._key.split("/"), partition=partition, metadata=describe_dataset(dataset),
                tags={"dagster/data_version": dataset.digest},
            )
        )  # fmt: skip
        return dataset


def rows_and_numbers(rows: pl.DataFrame, record: Mapping[str, object]) -> Callable[[DatasetWriter], None]:
    """What `publish` takes: rows, and numbers that Dagster draws over the partitions."""

    def fill(out: DatasetWriter) -> None:
        out.write(rows)
        out.describe(**{name: value for name, value in record.items() if isinstance(value, int | float)})

    return fill
