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
                self._lake.point(known)
                dataset = known
            else:
                dataset = self._lake.build(
                    key=self._key, partition=partition, kind="dataset", fingerprint=mark,
                    ingredients={"made_by": made_by}, fill=fill, keeps_ledger=False,
                )  # fmt: skip
            # Also of a known one: a kill may have come between the lake and Dagster.
            if not self._told(partition, dataset):
                self._tell(partition, dataset)
        return dataset

    def _told(self, partition: str, dataset: Dataset) -> bool:
        """Whether Dagster's last word on the partition is this content."""
        instance, key = self._context.instance, dg.AssetKey(self._key.split("/"))
        if not instance.has_dynamic_partition(self._key, partition):
            return False
        last = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition]), limit=1
        ).records
        event = last[0].asset_materialization if last else None
        return event is not None and (event.tags or {}).get("dagster/data_version") == dataset.digest

    def _tell(self, partition: str, dataset: Dataset) -> None:
        self._context.instance.add_dynamic_partitions(self._key, [partition])
        self._context.log_event(
            dg.AssetMaterialization(
                self._key.split("/"), partition=partition, metadata=describe_dataset(dataset),
                tags={"dagster/data_version": dataset.digest},
            )
        )  # fmt: skip


def rows_and_numbers(rows: pl.DataFrame, record: Mapping[str, object]) -> Callable[[DatasetWriter], None]:
    """What `publish` takes: rows, and numbers that Dagster draws over the partitions."""

    def fill(out: DatasetWriter) -> None:
        out.write(rows)
        out.describe(**{name: value for name, value in record.items() if isinstance(value, int | float)})

    return fill
