"""Near-duplicate removal against datatrove, datasketch and rensa, and how it grows. `make bench NAME=dedup`.

Documents of about 1 kB in Parquet shards, read, compared and written again without their near-duplicates by each
contender in turns; a tenth are copies, a tenth near copies. `--sizes` measures growth instead: seconds and memory for
each number of documents, in a process of its own, with documents made on the way and not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import numpy as np

from tests.benchmarks import dedup_contenders as contenders
from tests.benchmarks.report import closing_line, conditions, peak_memory

CONTENDERS = {
    "ours": contenders.run_ours,
    "datatrove": contenders.run_datatrove,
    "datasketch": contenders.run_datasketch,
    "rensa_loop": contenders.run_rensa_loop,
    "rensa_batch": contenders.run_rensa_batch,
}
SHARDS = 4
GROWTH_BATCH = 50_000


def compare(n_documents: int, repetitions: int) -> list[str]:
    """Median documents per second of each, in turns that begin with another contender each time."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    kept: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        shards = [Path(name) / "documents" / f"{shard}.parquet" for shard in range(SHARDS)]
        shards[0].parent.mkdir()
        for number, shard in enumerate(shards):
            contenders.documents(n_documents // SHARDS, number).write_parquet(shard)
        with tempfile.TemporaryDirectory() as warm:
            contenders.run_ours(shards[:1], Path(warm))  # compiled once for a machine
        order = list(CONTENDERS)
        for repetition in range(repetitions):
            for contender in order[repetition % len(order) :] + order[: repetition % len(order)]:
                with tempfile.TemporaryDirectory() as folder:
                    started = time.perf_counter()
                    kept[contender] = CONTENDERS[contender](shards, Path(folder))
                    seconds[contender].append(time.perf_counter() - started)
    speed = {contender: n_documents / median(taken) for contender, taken in seconds.items()}
    for contender in CONTENDERS:
        click.echo(f"  {contender}: {speed[contender]:,.0f} documents/s, {kept[contender]:,} of {n_documents:,} kept")
    return [
        closing_line(
            f"dedup_{peer}", speed["ours"] / speed[peer], f"{speed['ours']:,.0f} documents/s", f"{speed[peer]:,.0f}"
        )
        for peer in list(CONTENDERS)[1:]
    ]


def grow(n_documents: int, folder: Path) -> dict[str, float]:
    """Seconds of signing and of finding, and the highest memory in MiB of this process."""
    from assets.core.dedup import MinHashPlan, SignaturePart, find_duplicates, signature_frame

    plan, parts = MinHashPlan(), []
    signature_frame(contenders.documents(100, 0), plan)
    signing = 0.0
    for number in range(-(-n_documents // GROWTH_BATCH)):
        rows = contenders.documents(min(GROWTH_BATCH, n_documents - number * GROWTH_BATCH), number)
        started = time.perf_counter()
        path = folder / f"{number}.parquet"
        signature_frame(rows, plan).write_parquet(path)
        signing += time.perf_counter() - started
        parts.append(SignaturePart(path.stem, [path]))
    started = time.perf_counter()
    dropped = sum((frame["dup_of"] != "").sum() for frame in find_duplicates(parts, plan, folder / "work"))
    finding = time.perf_counter() - started
    return {"signing": signing, "finding": finding, "dropped": dropped, "memory": peak_memory()}


def growth(sizes: list[int]) -> list[str]:
    """Each size in a process of its own; the exponent of a power law through their seconds."""
    taken, memory = [], 0.0
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tests.benchmarks.dedup", "--grow", str(size), "--folder", folder]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        taken.append(found["signing"] + found["finding"])
        memory = found["memory"]
        click.echo(
            f"  {size:,} documents: {found['signing']:.1f} s signing, {found['finding']:.1f} s finding "
            f"{found['dropped']:,} duplicates, {memory:,.0f} MiB"
        )
    exponent = float(np.polyfit(np.log(sizes), np.log(taken), 1)[0])
    return [
        closing_line("dedup_growth", 1.05 / exponent, f"exponent {exponent:.3f}", "1.05 allowed"),
        closing_line("dedup_memory", 4096 / memory, f"{memory:,.0f} MiB at {sizes[-1]:,} documents", "4,096 allowed"),
    ]


@click.command(help=__doc__)
@click.option("--documents", "n_documents", default=20_000, show_default=True)
@click.option("--repetitions", default=5, show_default=True)
@click.option("--sizes", help="Numbers of documents, separated by commas, at which growth is measured.")
@click.option("--grow", "size", type=int, hidden=True)
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
def main(n_documents: int, repetitions: int, sizes: str | None, size: int | None, folder: Path | None) -> None:
    if size and folder:
        click.echo(json.dumps(grow(size, folder)))
        return
    click.echo(conditions("polars", "numba", "datatrove", "datasketch", "rensa"))
    lines = growth([int(each) for each in sizes.split(",")]) if sizes else compare(n_documents, repetitions)
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
