"""Writing a dataset: rows stream into Parquet shards in a staging folder that nobody reads."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.core.errors import AthanorError
from assets.core.lake.manifest import Check, StoredFile
from assets.core.ledger import RowLedger

if TYPE_CHECKING:
    import polars as pl

SHARD_BYTES = 64 * 1024**2
SHARD_ROWS = 500_000


def stored_file(folder: Path, name: str, rows: int = 0, part: str = "") -> StoredFile:
    """Flush a file to the disk and take its digest."""
    with (folder / name).open("rb+") as handle:
        os.fsync(handle.fileno())
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return StoredFile(name=name, sha256=digest, bytes=(folder / name).stat().st_size, rows=rows, part=part)


class DatasetWriter:
    """Collects what one recipe makes: rows, files, dead letters, plots, metadata and the row ledger.

    Shards hold about `SHARD_BYTES` in memory or `SHARD_ROWS` rows, whichever comes first (our default), so memory is
    flat in the size of the dataset. `folder` is where further files go. `work` is a folder of this fingerprint's own
    that outlives a kill, for trainer states; it is removed after publication.
    """

    def __init__(self, folder: Path, work: Path, fingerprint: str) -> None:
        self.folder = folder
        self.work = work
        self.fingerprint = fingerprint
        self.ledger = RowLedger()
        self.shards: list[StoredFile] = []
        self.columns: dict[str, str] = {}
        self.checks: list[Check] = []
        self.metadata: dict[str, Any] = {}
        self.plots: list[str] = []
        self._pending: list[pl.DataFrame] = []
        self._pending_bytes = 0
        self._pending_rows = 0
        self._part = ""
        self._dead: list[dict[str, str]] = []

    def write(self, frame: pl.DataFrame, part: str = "") -> None:
        """Append rows. All frames have the same columns, `id` among them; a part is written in one go."""
        self._check_columns(frame)
        if part != self._part:
            self.flush()
            self._part = part
        self._pending.append(frame)
        self._pending_bytes += frame.estimated_size()
        self._pending_rows += frame.height
        self.ledger.rows_out += frame.height
        if self._pending_bytes >= SHARD_BYTES or self._pending_rows >= SHARD_ROWS:
            self.flush()

    def _check_columns(self, frame: pl.DataFrame) -> None:
        columns = {name: str(dtype) for name, dtype in frame.schema.items()}
        if not self.columns:
            if "id" not in columns:
                raise AthanorError("rows without an `id` column", "give every row a content-derived id (core.ids)")
            self.columns = columns
        elif columns != self.columns:
            raise AthanorError(
                f"rows of another shape: {columns} after {self.columns}", "write all rows with the same columns"
            )

    def flush(self) -> None:
        """Write the pending rows as one shard."""
        import polars as pl

        if not self._pending:
            return
        name = f"part-{len(self.shards):05d}.parquet"
        rows = self._pending[0] if len(self._pending) == 1 else pl.concat(self._pending)
        rows.write_parquet(self.folder / name)
        self.shards.append(stored_file(self.folder, name, rows=rows.height, part=self._part))
        self._pending, self._pending_bytes, self._pending_rows = [], 0, 0

    def dead_letter(self, *, file: str, line: int | None, reason: str, detail: str) -> None:
        """Record a row that failed, with the place it came from."""
        self.ledger.failed += 1
        self._dead.append({"file": file, "line": "" if line is None else str(line), "reason": reason, "detail": detail})

    def check(self, name: str, passed: bool, **facts: object) -> None:
        """Record a blocking check. A version with a failed one is kept for inspection, but does not become current."""
        self.checks.append(Check(name=name, passed=bool(passed), facts=facts))

    def plot(self, name: str, png: bytes) -> None:
        """Keep a picture beside the data and show it in the asset's metadata."""
        (self.folder / f"{name}.png").write_bytes(png)
        self.plots.append(f"{name}.png")

    def describe(self, **metadata: object) -> None:
        """Add metadata: numbers, strings or JSON."""
        self.metadata |= metadata

    def close(self) -> list[StoredFile]:
        """Flush everything; return the files that are neither shards, plots nor dead letters."""
        import polars as pl

        self.flush()
        if self._dead:
            pl.DataFrame(self._dead).write_parquet(self.folder / "dead_letters.parquet")
            stored_file(self.folder, "dead_letters.parquet")
        known = {shard.name for shard in self.shards} | set(self.plots) | {"dead_letters.parquet", "manifest.json"}
        names = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        return [stored_file(self.folder, name) for name in names if name not in known]

    @property
    def dead_letters(self) -> int:
        return len(self._dead)
