"""BM25 against bm25s and tantivy: `python -m tests.benchmarks.retrieval --passages 1000000`.

Generated passages of about 100 words with Zipf's frequencies, or `--real`: Python's own documentation. Every engine
splits the same text into the same words and has a process of its own: one that builds, one that searches. Queries are
three keywords or 60 words; the best 1000 passages of each are asked for, in rounds in turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import polars as pl

from tests.benchmarks.report import closing_line, conditions
from tests.benchmarks.retrieval_contenders import BUILDERS, CONTENDERS
from tests.benchmarks.retrieval_corpus import Zipf, library_passages, library_queries

# Whose scores are the formula's.
COMPARED = ("ours", "bm25s")


class Worker:
    """A contender in its process."""

    def __init__(self, name: str, home: Path) -> None:
        module = "tests.benchmarks.retrieval_contenders"
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, name, str(home / "corpus"), str(home / name)],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def tell(self, do: str, **order: object) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the contender ended; its error stands above")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def prepare(home: Path, real: bool, passages: int, queries: int) -> int:
    """Write passages and queries as Parquet; the number of passages."""
    (home / "corpus").mkdir()
    frames: Iterable[pl.DataFrame]
    if real:
        rows = library_passages()
        frames, asked = [rows], library_queries(rows, queries)
    else:
        zipf = Zipf()
        frames, asked = zipf.passages(passages), zipf.queries(queries)
    written = 0
    for number, frame in enumerate(frames):
        frame.write_parquet(home / "corpus" / f"{number:05}.parquet")
        written += frame.height
    for kind, frame in asked.items():
        frame.write_parquet(home / f"{kind}.parquet")
    return written


def build(home: Path, names: list[str], passages: int) -> dict[str, float]:
    """Passages a second of each engine; its peak memory and the size of its index are printed."""
    speed = {}
    for name in names:
        worker = Worker(name, home)
        answer = worker.tell("build")
        worker.close()
        size = sum(path.stat().st_size for path in (home / name).rglob("*")) / 2**20
        speed[name] = passages / answer["seconds"]
        click.echo(
            f"{name}: {speed[name]:,.0f} passages/s indexed, {answer['peak']:,} MiB at most, index {size:,.0f} MiB"
        )
    return speed


def search(home: Path, names: list[str], k: int, rounds: int, queries: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each round by engine and kind of query, in turns, after a warm-up."""
    workers = {name: Worker(name, home) for name in names}
    seconds: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in names} for kind in ("short", "long")}

    def ask(name: str, kind: str, first: int, scores: str = "") -> float:
        order = {"queries": str(home / f"{kind}.parquet"), "k": k, "first": first, "scores": scores}
        return workers[name].tell("search", **order)["seconds"]

    for name in names:
        workers[name].tell("open")
        for kind in seconds:
            ask(name, kind, queries, str(home / f"{name}-{kind}.npy") if name in COMPARED else "")
    for round_ in range(rounds):
        for kind in seconds:
            for name in names if round_ % 2 == 0 else names[::-1]:
                seconds[kind][name].append(ask(name, kind, queries))
    for name, worker in workers.items():
        memory = worker.tell("memory")["memory"]
        click.echo(f"{name}: searching takes {memory['own']:,} MiB of its own and {memory['mapped']:,} MiB of files")
        worker.close()
    return seconds


def disagreement(home: Path, kind: str) -> float:
    """The largest relative difference between our scores and bm25s's, rank by rank."""
    own, peer = (np.load(home / f"{name}-{kind}.npy").astype(np.float64) for name in COMPARED)
    return float((np.abs(own - peer) / np.maximum(peer, 1e-9)).max())


@click.command()
@click.option("--passages", default=1_000_000, help="Generated passages.")
@click.option("--queries", default=500, help="Queries of each kind.")
@click.option("--k", default=1000, help="Hits of each query.")
@click.option("--rounds", default=5, help="Of searching.")
@click.option("--real", is_flag=True, help="Search Python's own documentation instead of generated passages.")
def main(passages: int, queries: int, k: int, rounds: int, real: bool) -> None:
    click.echo(conditions("bm25s", "tantivy", "numba", "polars", "numpy"))
    names = list(CONTENDERS)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        passages = prepare(home, real, passages, queries)
        click.echo(f"{passages:,} passages, {queries} queries of each kind, k = {k}, {rounds} rounds")
        speed = build(home, list(BUILDERS), passages)
        seconds = search(home, names, k, rounds, queries)
        for kind in seconds:
            click.echo(f"largest difference of scores from bm25s, {kind}: {disagreement(home, kind):.1e}")
    for name in names[1:]:
        if name in speed:
            ratio = speed["ours"] / speed[name]
            speeds = (f"{each:,.0f} passages/s" for each in (speed["ours"], speed[name]))
            click.echo(closing_line(f"retrieval_index against {name}", ratio, *speeds))
        for kind, taken in seconds.items():
            ratio = median(peer / own for peer, own in zip(taken[name], taken["ours"], strict=True))
            speeds = (f"{queries / median(taken[each]):,.0f} queries/s" for each in ("ours", name))
            click.echo(closing_line(f"retrieval_{kind} against {name}", ratio, *speeds))


if __name__ == "__main__":
    main()
