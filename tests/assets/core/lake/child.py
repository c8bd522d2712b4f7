"""Processes of their own that build datasets: killed at a moment, at once with another, on a full disk, measured.

Run as `python -m tests.assets.core.lake.child <what> <root> <argument>`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from assets.core.errors import disk_is_full
from assets.core.lake import Dataset, DatasetWriter, Lake, writer
from assets.core.lake.lake import KEPT_VERSIONS
from assets.core.lake.store import LocalStore
from tests.benchmarks.report import peak_memory

KEY = "toy/rows"
MOMENTS = ("fill", "close", "manifest", "adopt", "point", "retire", "removal")


def frame(rows: int, start: int = 0) -> pl.DataFrame:
    """Rows whose ids do not compress well."""
    numbers = range(start, start + rows)
    return pl.DataFrame(
        {"id": [f"{(i + 1) ** 3 * 0x9E3779B97F4A7C15 % 2**64:016x}" for i in numbers], "number": numbers}
    )


def build(
    lake: Lake, fill: Callable[[DatasetWriter], None], version: str = "1", key: str = KEY, *, ledger: bool = False
) -> Dataset:
    """Publish under the fingerprint that a version's name pads to, unless it is there already."""
    fingerprint = version.rjust(64, "0")[::-1]
    with lake.hold(key):
        found = lake.version(key, "", fingerprint)
        return found or lake.build(
            key=key, partition="", kind="dataset", fingerprint=fingerprint,
            ingredients={"version": version}, fill=fill, keeps_ledger=ledger,
        )  # fmt: skip


def open_lake(root: Path) -> Lake:
    return Lake(str(root / "lake"), root / "work")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def delete_shards_and_die(folder: Path, ignore_errors: bool = False) -> None:
    """What is left of a version when it was being deleted: here the manifest without its shards."""
    if (folder / "manifest.json").exists():
        for shard in folder.glob("*.parquet"):
            shard.unlink()
        die()


def killed(root: Path, moment: str) -> None:
    """Build version 2 and die at a moment."""
    lake = open_lake(root)

    def fill(out: DatasetWriter) -> None:
        out.write(frame(10), part="a")
        out.flush()
        out.work.mkdir(parents=True)
        (out.work / "state").write_text("half-way")
        if moment == "fill":
            die()
        out.write(frame(10, start=10), part="b")

    if moment == "close":
        DatasetWriter.close = lambda self: die()  # type: ignore[assignment, method-assign]
    if moment == "manifest":
        write_text = Path.write_text
        Path.write_text = lambda self, text: (write_text(self, text[: len(text) // 2]), die())  # type: ignore
    if moment == "adopt":
        LocalStore.adopt = lambda self, folder, location: die()  # type: ignore[method-assign]
    if moment == "point":
        Lake.point = lambda self, dataset: die()  # type: ignore[method-assign]
    if moment == "retire":
        Lake._retire = lambda self, place, built: die()  # type: ignore[method-assign]
    if moment == "removal":
        for version in range(KEPT_VERSIONS):
            build(lake, lambda out: out.write(frame(1)), version=f"other{version}")
        shutil.rmtree = delete_shards_and_die  # type: ignore[assignment]
    build(lake, fill, version="2")


def racing(root: Path, name: str) -> None:
    """Build what another process builds too, and tell by a file that this one did the work."""

    def fill(out: DatasetWriter) -> None:
        (root / f"built-{name}").touch()
        time.sleep(0.5)
        out.write(frame(100))

    (root / f"ready-{name}").touch()
    deadline = time.monotonic() + 60
    while len(list(root.glob("ready-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    print(build(open_lake(root), fill).digest)


def full(root: Path, limit: str) -> None:
    """Build where no file may be longer than `limit` bytes, then again where it may."""
    lake = open_lake(root)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        build(lake, lambda out: out.write(frame(200_000)), version="2")
    except Exception as error:
        staged = [path.name for path in lake.store.staging.iterdir()]
        current = lake.get(KEY)
        print(json.dumps({"full": disk_is_full(error), "staged": staged, "old": current.read()["number"].to_list()}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(build(lake, lambda out: out.write(frame(200_000)), version="2").rows)


def memory(root: Path, shards: str) -> None:
    """Write and read so many shards of 2 MiB; print the highest memory in MiB and the shards that there were."""
    writer.SHARD_BYTES = 2 * 1024**2
    rows = 2 * 1024**2 // 132

    def fill(out: DatasetWriter) -> None:
        for start in range(int(shards)):
            out.write(
                pl.DataFrame(
                    {"id": [f"{start * rows + i:032x}" for i in range(rows)], "text": [os.urandom(50).hex()] * rows}
                )
            )

    dataset = build(open_lake(root), fill)
    assert sum(batch.height for batch in dataset.batches()) == dataset.rows
    print(peak_memory(), len(dataset.manifest.shards))


if __name__ == "__main__":
    {"killed": killed, "racing": racing, "full": full, "memory": memory}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
