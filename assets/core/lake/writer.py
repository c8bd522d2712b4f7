"""Writing a dataset: rows stream into Parquet shards in a staging folder that nobody reads."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.core.errors import AthanorError
from assets.core.lake.manifest import Check, StoredFile
from assets.core.lake.preview import preview
from assets.core.ledger import RowLedger

if TYPE_CHECKING:
    import polars as pl

SHARD_BYTES = 64 * 1024**2
SHARD_ROWS = 500_000
DEAD_LETTERS = "dead_letters.parquet"


def stored_file(folder: Path, name: str, rows: int = 0, part: str = "") -> StoredFile:
    """Flush a file to the disk and take its digest."""
    with (folder / name).open("rb+") as handle:
        os.fsync(handle.fileno())
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return StoredFile(name=name, sha256=digest, bytes=(folder / name).stat().st_size, rows=rows, part=part)


class DatasetWriter:
    """Collects what one recipe makes: rows, files, dead letters, plots, metadata and the row ledger.

    Shards hold up to `SHARD_BYTES` in memory or `SHARD_ROWS` rows, whichever comes first (our default), so memory is
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
        self.roles: dict[str, Any] = {}
        self.plots: list[str] = []
        self.preview = ""
        self._schema: pl.Schema | None = None
        self._pending: list[pl.DataFrame] = []
        self._pending_bytes = 0
        self._pending_rows = 0
        self._part = ""
        self._dead: list[dict[str, str]] = []
        # Flushing to the disk and hashing wait for the disk: the next shard is encoded meanwhile.
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._sealing: list[Future[StoredFile]] = []

    def write(self, frame: pl.DataFrame, part: str = "") -> None:
        """Append rows. All frames have the same columns, `id` among them; a part is written in one go."""
        self._check_columns(frame)
        if part != self._part:
            self.flush()
            self._part = part
        if frame.height and not self.preview:
            self.preview = preview(frame)
        size = int(frame.estimated_size())
        shards = max(-(-size // SHARD_BYTES), -(-frame.height // SHARD_ROWS), 1)
        for rows in frame.iter_slices(max(1, -(-frame.height // shards))) if shards > 1 else [frame]:
            self._append(rows, size // shards)

    def _append(self, rows: pl.DataFrame, size: int) -> None:
        if self._pending_bytes + size > SHARD_BYTES or self._pending_rows + rows.height > SHARD_ROWS:
            self.flush()
        self._pending.append(rows)
        self._pending_bytes += size
        self._pending_rows += rows.height
        self.ledger.rows_out += rows.height

    def _check_columns(self, frame: pl.DataFrame) -> None:
        if frame.schema == self._schema:
            return
        columns = {name: str(dtype) for name, dtype in frame.schema.items()}
        if self._schema is not None:
            raise AthanorError(
                f"rows of another shape: {columns} after {self.columns}", "write all rows with the same columns"
            )
        if "id" not in columns:
            raise AthanorError("rows without an `id` column", "give every row a content-derived id (core.ids)")
        self._schema, self.columns = frame.schema, columns

    def flush(self) -> None:
        """Write the pending rows as one shard."""
        import polars as pl

        if not self._pending:
            return
        name = f"part-{len(self._sealing):05d}.parquet"
        # One chunk: Parquet's row groups, and with them the digest, must not tell in what batches the rows came.
        rows = pl.concat(self._pending).rechunk()
        rows.write_parquet(self.folder / name)
        self._sealing.append(self._sealer.submit(stored_file, self.folder, name, rows.height, self._part))
        self._pending, self._pending_bytes, self._pending_rows = [], 0, 0

    def dead_letter(self, *, file: str, line: int | None, reason: str, detail: str) -> None:
        """Record a row that failed, with the place it came from."""
        self.ledger.failed += 1
        self._dead.append({"file": file, "line": "" if line is None else str(line), "reason": reason, "detail": detail})

    def check(self, name: str, passed: bool, /, **facts: object) -> None:
        """Record a blocking check. A version with a failed one is kept for inspection, but does not become current."""
        _require_json(f"check {name}", facts)
        self.checks.append(Check(name=name, passed=bool(passed), facts=facts))

    def plot(self, name: str, png: bytes) -> None:
        """Keep a picture beside the data and show it in the asset's metadata."""
        (self.folder / f"{name}.png").write_bytes(png)
        self.plots.append(f"{name}.png")

    def describe(self, **metadata: object) -> None:
        """Add metadata: numbers, strings or JSON."""
        _require_json("describe", metadata)
        self.metadata |= metadata

    def close(self) -> list[StoredFile]:
        """Flush everything; return the files that are neither shards, plots nor dead letters."""
        import polars as pl

        self.flush()
        self.shards = [sealing.result() for sealing in self._sealing]
        if self._dead:
            pl.DataFrame(self._dead).write_parquet(self.folder / DEAD_LETTERS)
            stored_file(self.folder, DEAD_LETTERS)
        for name in self.plots:
            stored_file(self.folder, name)
        known = {shard.name for shard in self.shards} | set(self.plots) | {DEAD_LETTERS, "manifest.json"}
        names = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        return [stored_file(self.folder, name) for name in names if name not in known]

    def stop(self) -> None:
        """End the work in the background; the folder may be removed afterwards."""
        self._sealer.shutdown(wait=True, cancel_futures=True)

    @property
    def dead_letters(self) -> int:
        return len(self._dead)


def _require_json(where: str, values: dict[str, object]) -> None:
    """Raise where the fault is, not when the manifest is written after hours of work."""
    for name, value in values.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{where}: {name} = {value!r} is not JSON ({error}); give numbers and strings") from None
