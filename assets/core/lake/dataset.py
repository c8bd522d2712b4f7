"""Reading a published dataset or checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assets.core.errors import AthanorError
from assets.core.lake.manifest import Manifest
from assets.core.lake.store import Store

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Dataset:
    """One version of a dataset, or one `part` of it. Nothing is read before a method asks for it."""

    manifest: Manifest
    store: Store
    location: str
    part: str | None = None

    @property
    def digest(self) -> str:
        return self.manifest.digest(self.part)

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.manifest.shards if self.part in (None, shard.part))

    def slice(self, part: str) -> Dataset:
        """The shards of one part, with a digest of its own; an error names the parts that there are."""
        if part not in self.manifest.parts:
            raise AthanorError(
                f"{self.manifest.key} has no part {part!r}, only {self.manifest.parts}",
                f"materialize {self.manifest.key} again with a configuration that makes it",
            )
        return Dataset(self.manifest, self.store, self.location, part)

    def shard_paths(self) -> list[Path]:
        return [
            self.store.local(self.location, shard.name)
            for shard in self.manifest.shards
            if self.part in (None, shard.part)
        ]

    def scan(self) -> pl.LazyFrame:
        """The rows as a lazy frame, in the order in which they were written."""
        import polars as pl

        return pl.scan_parquet(self.shard_paths())

    def read(self, *columns: str) -> pl.DataFrame:
        """All rows (of some columns) in memory."""
        import polars as pl

        return pl.read_parquet(self.shard_paths(), columns=list(columns) or None)

    def batches(self, *columns: str) -> Iterator[pl.DataFrame]:
        """The rows shard by shard, so that memory does not grow with the dataset."""
        import polars as pl

        for path in self.shard_paths():
            yield pl.read_parquet(path, columns=list(columns) or None)

    def file(self, name: str) -> Path:
        """A local path of one of the dataset's other files (plots, dead letters)."""
        return self.store.local(self.location, name)

    @property
    def folder(self) -> Path:
        """A local folder with all files: for a checkpoint, the Hugging Face folder."""
        for stored in self.manifest.files:
            self.store.local(self.location, stored.name)
        return self.store.local(self.location, ".")

    def dead_letters(self) -> pl.DataFrame:
        """The rows that failed: file, line, reason, detail."""
        import polars as pl

        if not self.manifest.dead_letters:
            return pl.DataFrame(schema=dict.fromkeys(("file", "line", "reason", "detail"), pl.String))
        return pl.read_parquet(self.file("dead_letters.parquet"))
