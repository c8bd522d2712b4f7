"""The lake against plain polars: what digests, durability and atomic publication cost. `make bench NAME=lake`.

The lake writes shards of up to 64 MiB from batches, flushes each to the disk, takes its sha256 and publishes the whole
by a rename. The peer writes one file from the same rows, flushes nothing and takes no digest. Both use polars's default
compression. Reading is of all columns; both files are in the page cache.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from assets.core.lake import DatasetWriter, Lake
from tests.benchmarks.report import alternated, closing_line, conditions, peak_memory

ROWS = 1_000_000
BATCH_ROWS = 50_000
REPETITIONS = 9
WORDS = 5_000
SHARD_OF_MEMORY_TEST = 16 * 1024**2
ASSETS = 20


def make_rows(rows: int, seed: int = 0) -> pl.DataFrame:
    """Ids, texts of about 100 bytes that compress like prose, three columns of numbers."""
    rng = np.random.default_rng(seed)
    words = pl.Series(["".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(2, 10))) for _ in range(WORDS)])
    frequent = (WORDS * rng.random((rows, 15)) ** 2).astype(np.int64)
    texts = pl.DataFrame({f"w{i}": words.gather(frequent[:, i]) for i in range(15)})
    ids = rng.bytes(16 * rows).hex()
    return pl.DataFrame(
        {
            "id": [ids[32 * i : 32 * i + 32] for i in range(rows)],
            "text": texts.select(pl.concat_str(pl.all(), separator=" ")).to_series(),
            "n_tokens": rng.integers(10, 60, rows),
            "cluster": rng.integers(0, 32, rows).astype(np.int32),
            "score": rng.random(rows),
        }
    )


def publish(lake: Lake, rows: pl.DataFrame) -> None:
    def fill(out: DatasetWriter) -> None:
        for batch in rows.iter_slices(BATCH_ROWS):
            out.write(batch)

    lake.build(
        key="bench/rows", partition="", kind="dataset", fingerprint="0" * 64,
        ingredients={}, fill=fill, keeps_ledger=False,
    )  # fmt: skip


def speed(folder: Path) -> list[str]:
    """Writing and reading, in turns with the peer."""
    rows = make_rows(ROWS)
    lake, file = Lake(str(folder / "lake"), folder / "work"), folder / "peer.parquet"

    def write() -> None:
        publish(lake, rows)

    def write_peer() -> None:
        file.unlink(missing_ok=True)
        rows.write_parquet(file)

    write()
    write_peer()
    dataset = lake.get("bench/rows")
    stored = sum(shard.bytes for shard in dataset.manifest.shards)
    print(
        f"{ROWS:,} rows, {rows.estimated_size() / 1e6:.0f} MB in memory, {stored / 1e6:.0f} MB in "
        f"{len(dataset.manifest.shards)} shards, {file.stat().st_size / 1e6:.0f} MB in polars's file; "
        f"median of {REPETITIONS} in turns"
    )
    assert dataset.read().equals(pl.read_parquet(file))
    ours, peer = alternated(write, write_peer, REPETITIONS)
    read, read_peer = alternated(lambda: lake.get("bench/rows").read(), lambda: pl.read_parquet(file), REPETITIONS)
    return [
        closing_line("lake_write", peer / ours, f"{million(ours)}, durable and hashed", f"polars's {million(peer)}"),
        closing_line("lake_read", read_peer / read, million(read), f"polars's {million(read_peer)}"),
    ]


def million(seconds: float) -> str:
    return f"{ROWS / seconds / 1e6:.2f} M rows/s"


def fill_shards(folder: Path, shards: int) -> int:
    """Write and read so many shards; the highest memory of this process in MiB."""
    from assets.core.lake import writer

    writer.SHARD_BYTES = SHARD_OF_MEMORY_TEST
    few = make_rows(10_000)
    # Tiled, because making so many texts would itself take more memory than writing them.
    batch = pl.concat([few] * int(SHARD_OF_MEMORY_TEST / few.estimated_size()), rechunk=True)

    def fill(out: DatasetWriter) -> None:
        for shard in range(shards):
            out.write(batch.with_columns(pl.col("n_tokens") + shard))

    lake = Lake(str(folder / "lake"), folder / "work")
    dataset = lake.build(
        key="bench/rows", partition="", kind="dataset", fingerprint="0" * 64,
        ingredients={}, fill=fill, keeps_ledger=False,
    )  # fmt: skip
    assert len(dataset.manifest.shards) == shards
    assert sum(frame.height for frame in dataset.batches()) == dataset.rows
    return peak_memory()


def memory(folder: Path) -> list[str]:
    """The highest memory at 10 and at 100 shards, each in a process of its own."""
    peaks = []
    for shards in (10, 100):
        command = [sys.executable, "-m", "tests.benchmarks.lake", str(folder / str(shards)), str(shards)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        shutil.rmtree(folder / str(shards))
    return [
        closing_line(
            "lake_memory", peaks[0] / peaks[1], f"{peaks[1]} MiB at 100 shards of 16 MiB", f"{peaks[0]} MiB at 10"
        )
    ]


def overhead(folder: Path) -> list[str]:
    """What a recipe costs beside its function: 20 assets of one row each, in one run, built and reused."""
    import dagster as dg

    from assets.core.recipe import recipe
    from assets.core.resources import LakeResource

    assets = [recipe(f"bench/row{number}", ledger=False)(one_row) for number in range(ASSETS)]
    plain = [dg.asset(name=f"plain{number}")(nothing) for number in range(ASSETS)]
    taken: dict[str, list[float]] = {"built": [], "reused": [], "plain": []}
    with dg.DagsterInstance.ephemeral() as instance:

        def run(chosen: list[dg.AssetsDefinition], home: Path) -> float:
            resources = {"lake": LakeResource(root=str(home / "lake"), work=str(home / "work"))}
            quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
            started = time.perf_counter()
            assert dg.materialize(chosen, instance=instance, resources=resources, run_config=quiet).success
            return 1000 * (time.perf_counter() - started) / ASSETS

        run(assets, folder / "warm")
        for repetition in range(REPETITIONS):
            taken["built"].append(run(assets, folder / str(repetition)))
            taken["reused"].append(run(assets, folder / str(repetition)))
            taken["plain"].append(run(plain, folder / str(repetition)))
    built, reused, bare = (median(taken[name]) for name in ("built", "reused", "plain"))
    print(f"per asset of one row: {built:.0f} ms built, {reused:.0f} ms reused, {bare:.0f} ms a bare Dagster asset")
    ours = built - bare
    return [
        closing_line("lake_recipe_overhead", 50 / ours, f"{ours:.0f} ms an asset beside Dagster's own", "50 ms allowed")
    ]


def one_row(out: DatasetWriter) -> None:
    out.write(pl.DataFrame({"id": ["0"]}))


def nothing() -> None: ...


def main() -> None:
    print(conditions("polars", "dagster"))
    with tempfile.TemporaryDirectory() as folder:
        lines = [*speed(Path(folder)), *memory(Path(folder)), *overhead(Path(folder))]
    print("\n".join(lines))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(fill_shards(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        main()
