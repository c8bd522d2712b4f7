"""Rows answered by an endpoint that answers at once: the durable layer and the lake against distilabel.
`make bench NAME=synthesis`.

One step, one question a row, one endpoint in a process of its own. Ours asks, commits every answer and its cost, and
publishes a dataset; distilabel asks and gathers a dataset, with its log silenced, without its cache, and in batches of
the size at which it was fastest. `make peers` makes its environment; without it that peer is left out, and said to be.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from statistics import median

import polars as pl

from assets.core.generation.durable import DurableEngine
from assets.core.generation.ledger import Caller
from assets.core.generation.prices import FREE
from assets.core.generation.responder import Binding, Responder
from assets.core.generation.rows import Row, ask_rows
from assets.core.generation.store import GenerationStore
from assets.core.home import CHECKOUT
from assets.core.ids import content_id
from assets.core.lake import DatasetWriter, Lake
from models.inference.engine import Completion, Engine, Failed, Message, Request, Sample, Sampling, Usage
from models.inference.openai import OpenAIEngine
from models.inference.openai_settings import OpenAISettings
from tests.benchmarks.report import alternated, closing_line, conditions
from tests.servers.running import RunningServer

PEER_PYTHON = Path(os.environ.get("ATHANOR_PEERS") or CHECKOUT / ".venv-peers") / "bin/python"
ROWS = 10_000
PEER_ROWS = 1_000
PEER_BATCHES = (50, 200, 1000)
RERUN_ROWS = 50_000
ROUNDS = 3
OVERHEAD_ROUNDS = 7
SCHEMA = {"id": pl.String, "text": pl.String}


def some_rows(number: int) -> list[Row]:
    return [{"id": content_id(str(place)), "text": f"question {place}"} for place in range(number)]


def ask(row: Row) -> Request:
    return Request((Message("user", row["text"]),), Sampling(max_new_tokens=64))


def durable(engine: Engine, folder: Path) -> DurableEngine:
    return DurableEngine(engine, GenerationStore(f"sqlite:///{folder}/generation.db"), Caller("bench/rows"), price=FREE)


def publish(engine: DurableEngine, folder: Path, rows: list[Row]) -> float:
    """Seconds from rows to a published dataset of their answers."""
    responder = Responder(Binding("writer", "openai", "tiny", "tiny", {}), lambda: engine)

    def fill(out: DatasetWriter) -> None:
        for batch in ask_rows(rows, ask, responder, out):
            records = [{"id": row["id"], "text": answer.samples[0].text} for row, answer in batch]
            out.write(pl.DataFrame(records, schema=SCHEMA))

    started = time.perf_counter()
    lake = Lake(str(folder / "lake"), folder / "work")
    dataset = lake.build(
        key="bench/rows", partition="", kind="dataset", fingerprint="0" * 64,
        ingredients={}, fill=fill, keeps_ledger=True,
    )  # fmt: skip
    assert dataset.rows == len(rows)
    return time.perf_counter() - started


def peer(base_url: str, rows: int, batch: int) -> float:
    """Seconds of distilabel's run."""
    command = [str(PEER_PYTHON), "-m", "tests.benchmarks.synthesis_distilabel", base_url, str(rows), str(batch)]
    quiet = os.environ | {"DISTILABEL_LOG_LEVEL": "ERROR"}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT, env=quiet)
    seconds, answers = ended.stdout.split()[-2:]
    assert int(answers) == rows, ended.stdout
    return float(seconds)


def against_distilabel(folder: Path, server: RunningServer) -> list[str]:
    """Rows per second, in turns, each round from an empty store."""
    engine = OpenAIEngine(OpenAISettings(base_url=server.base_url, model="tiny"))
    rows = some_rows(ROWS)
    publish(durable(engine, folder / "warm"), folder / "warm", rows[:500])
    batch = 0
    if PEER_PYTHON.exists():
        batch = min(PEER_BATCHES, key=lambda size: peer(server.base_url, PEER_ROWS, size))
        print(f"distilabel is fastest at {batch} rows at a time")
    rates: list[float] = []
    peer_rates: list[float] = []
    for number in range(ROUNDS):
        at = folder / str(number)
        rates.append(ROWS / publish(durable(engine, at), at, rows))
        if batch:
            peer_rates.append(PEER_ROWS / peer(server.base_url, PEER_ROWS, batch))
    engine.close()
    ours = f"{median(rates):,.0f} rows/s, each committed with its cost"
    if not batch:
        print(f"synthesis_rows: {ours}; distilabel is not installed (`make peers`)")
        return []
    told = f"distilabel's {median(peer_rates):,.0f}"
    return [closing_line("synthesis_rows", median(rates) / median(peer_rates), ours, told)]


def rerun(folder: Path) -> list[str]:
    """All answers are stored: through the engine alone, and into a dataset."""
    rows = some_rows(RERUN_ROWS)
    stored = durable(AtOnce(), folder)
    publish(stored, folder, rows)
    requests = [ask(row) for row in rows]
    alone, published = alternated(lambda: consume(stored, requests), lambda: publish(stored, folder, rows), ROUNDS)
    into = f"{RERUN_ROWS / published:,.0f} into a dataset"
    ours = f"{RERUN_ROWS / alone:,.0f} rows/s from the store, {into}"
    return [closing_line("synthesis_rerun", RERUN_ROWS / alone / 20_000, ours, "20,000 asked for")]


ANSWER = Completion((Sample("w1 w2 w3 w4 w5 w6 w7 w8", "stop"),), Usage(2, 8), 0.01)


class AtOnce:
    """An engine that takes no time, so that only the durable layer does."""

    def identity(self) -> dict[str, object]:
        return {"engine": "at once"}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        for place, _ in enumerate(requests):
            yield place, ANSWER

    def close(self) -> None: ...


def consume(engine: Engine, requests: list[Request]) -> None:
    answers = [answer for _, answer in engine.generate(requests)]
    assert all(isinstance(answer, Completion) for answer in answers)


def overhead(name: str, engine: Engine, requests: Callable[[int], list[Request]], folder: Path) -> list[str]:
    """The same requests to the bare engine and to the durable one, in turns; each round asks anew."""
    consume(engine, requests(-1))
    rounds = count()
    wrapped = durable(engine, folder)
    bare, kept = alternated(
        lambda: consume(engine, requests(next(rounds))),
        lambda: consume(wrapped, requests(next(rounds))),
        OVERHEAD_ROUNDS,
    )
    number = len(requests(-1))
    print(
        f"{name}: {number / kept:,.0f} requests/s durable, {number / bare:,.0f} bare, {100 * (kept / bare - 1):+.1f} %"
    )
    return [closing_line(f"synthesis_{name}", bare / kept, f"{kept:.3f} s durable", f"{bare:.3f} s of the bare engine")]


def torch_overhead(folder: Path) -> list[str]:
    """A small model in this process: 256 prompts of 32 tokens, 128 new tokens each."""
    import torch

    from models.inference.torch_engine import TorchEngine
    from tests.benchmarks.generation import prepare

    prompts = prepare(folder)
    torch.set_num_threads(2)

    def requests(seed: int) -> list[Request]:
        return [Request(tuple(prompt), Sampling(128), seed=seed) for prompt in prompts]

    return overhead("torch", TorchEngine(folder / "model", dtype=torch.bfloat16), requests, folder)


def main() -> None:
    print(conditions("sqlalchemy", "aiohttp", "torch"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with RunningServer() as server:
            lines = against_distilabel(folder / "rows", server)
        lines += rerun(folder / "rerun")
        lines += torch_overhead(folder / "torch")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
