"""Reading a published dataset or checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assets.core.errors import AthanorError
from assets.core.lake.manifest import Manifest, StoredFile
from assets.core.lake.store import Store
from assets.core.lake.writer import DEAD_LETTERS

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
        return sum(shard.rows for shard in self._shards())

    @property
    def is_whole(self) -> bool:
        """Whether every file is there in its full size: one look at the folder, no content is read."""
        found = self.store.sizes(self.location)
        return all(found.get(file.name) == file.bytes for file in [*self.manifest.shards, *self.manifest.files])

    def slice(self, part: str) -> Dataset:
        """The shards of one part, with a digest of its own; an error names the parts that there are."""
        if part not in self.manifest.parts:
            raise AthanorError(
                f"{self.manifest.key} has no part {part!r}, only {self.manifest.parts}",
                f"materialize {self.manifest.key} again with a configuration that makes it",
            )
        return Dataset(self.manifest, self.store, self.location, part)

    def shard_paths(self) -> list[Path]:
        """Local paths of the shards, in the order in which their rows were written."""
        shards = self._shards()
        if not shards:
            raise AthanorError(
                f"{self.manifest.key} has neither rows nor columns",
                "let its recipe write at least one frame: an empty one says which columns there are",
            )
        return [self._path(shard) for shard in shards]

    def scan(self) -> pl.LazyFrame:
        """The rows as a lazy frame, in the order in which they were written."""
        import polars as pl

        return pl.scan_parquet(self.shard_paths())

    def read(self, *columns: str) -> pl.DataFrame:
        """All rows (of some columns) in memory."""
        return self._read(self.shard_paths(), columns)

    def batches(self, *columns: str) -> Iterator[pl.DataFrame]:
        """The rows shard by shard, so that memory does not grow with the dataset."""
        for shard in self._shards():
            yield self._read([self._path(shard)], columns)

    def file(self, name: str) -> Path:
        """A local path of one of the dataset's other files (plots, dead letters)."""
        return self.store.local(self.location, name)

    @property
    def folder(self) -> Path:
        """A local folder with all files: for a checkpoint, the Hugging Face folder."""
        for stored in self.manifest.files:
            self._path(stored)
        return self.store.local(self.location, "manifest.json").parent

    def dead_letters(self) -> pl.DataFrame:
        """The rows that failed: file, line, reason, detail."""
        import polars as pl

        if not self.manifest.dead_letters:
            return pl.DataFrame(schema=dict.fromkeys(("file", "line", "reason", "detail"), pl.String))
        return pl.read_parquet(self.file(DEAD_LETTERS))

    def _shards(self) -> list[StoredFile]:
        return [shard for shard in self.manifest.shards if self.part in (None, shard.part)]

    def _path(self, stored: StoredFile) -> Path:
        """The local path of a file in its full size; an error with the remedy where it is damaged."""
        try:
            path = self.store.local(self.location, stored.name, stored.bytes)
            size = path.stat().st_size
        except FileNotFoundError:
            raise self._damaged(stored.name, "it is missing") from None
        if size != stored.bytes:
            raise self._damaged(stored.name, f"{size} bytes, and {stored.bytes} were written")
        return path

    def _read(self, paths: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
        import polars as pl

        try:
            return pl.read_parquet(list(paths), columns=list(columns) or None)
        except pl.exceptions.ComputeError as error:
            raise self._damaged("a shard", str(error)) from error

    def _damaged(self, name: str, detail: str) -> AthanorError:
        folder = self.store.url(self.location)
        return AthanorError(
            f"{name} of {self.manifest.key} in {folder} is damaged: {detail}",
            f"delete {folder} and materialize {self.manifest.key} again",
        )
