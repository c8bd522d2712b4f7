"""Five iterations of reinforcement learning in a process that is killed at random moments and started again.

The process is forked from a server that has imported everything, so that a start costs no seconds and a kill meets
work; `attempt` is one start, `disturbed` all of them.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import polars as pl
import transformers.models.llama.configuration_llama  # noqa: F401  (takes seconds, and is imported late)

from assets.core.policy_engine import PolicyEngineResource
from assets.core.verifier.verifier import Verifier
from assets.oreal.iterate import Loop
from models.architecture.huggingface import load_folder
from models.training.checkpoint import weights_digest
from tests.assets.oreal import tiny

LIMIT_SECONDS = 120
LONGEST_PHASE = 0.3


class Logged(Loop):
    """Notes every phase that it begins, and whether its file was there already."""

    def _note(self, name: str, iteration: int) -> None:
        there = (self._folder(iteration) / f"{name}.parquet").exists()
        with (self.work.parent / "phases.log").open("a") as file:
            file.write(f"{name}-{iteration}{' again' if there else ''}\n")

    def _roll_out(self, iteration: int) -> pl.DataFrame:
        self._note("rollouts", iteration)
        return super()._roll_out(iteration)

    def _score(self, iteration: int, rollouts: pl.DataFrame) -> pl.DataFrame:
        self._note("scores", iteration)
        return super()._score(iteration, rollouts)

    def _update(self, iteration: int, scored: pl.DataFrame) -> pl.DataFrame:
        self._note("record", iteration)
        return super()._update(iteration, scored)


@dataclass(frozen=True)
class Made:
    """What a run leaves behind: digests of the last and of the best policy and of each phase's file, by name."""

    digests: dict[str, str]
    phases: list[str]
    kills: int
    seconds: float


def attempt(starts: Path, folder: Path) -> None:
    """All iterations, or those that are left."""
    with PolicyEngineResource().open(starts / "policy", folder / "logs") as engine, Verifier() as verifier:
        loop = tiny.make_loop(starts, folder / "work", engine, verifier, kind=Logged)
        for _ in loop.run(lambda *done: None):
            pass


def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def finish(process: ForkServerProcess) -> None:
    """Waits for the end. Raises AssertionError when it is not a good one."""
    process.join(LIMIT_SECONDS)
    process.kill()
    process.join()
    assert process.exitcode == 0, process.exitcode


def disturbed(starts: Path, folder: Path, kills: int, longest: float, rng: random.Random) -> Made:
    """Starts the run, kills it, and again until it was killed so often or is done; then lets it end.

    Every second kill comes up to `longest` seconds after the start, which may be before the first phase; the others up
    to `LONGEST_PHASE` after a phase began.
    """
    begun, done = time.monotonic(), 0
    log = folder / "phases.log"
    while True:
        process = server().Process(target=attempt, args=(starts, folder))
        process.start()
        if done == kills:
            break
        if done % 2:
            process.join(rng.uniform(0, longest))
        else:
            _wait_for_a_phase(process, log)
            process.join(rng.uniform(0, LONGEST_PHASE))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        done += 1
    finish(process)
    return Made(digests(folder / "work"), (folder / "phases.log").read_text().split("\n")[:-1], done,
                time.monotonic() - begun)  # fmt: skip


def _wait_for_a_phase(process: ForkServerProcess, log: Path) -> None:
    """Until one more is noted in the log, or the process has ended."""
    before = log.stat().st_size if log.exists() else 0
    while process.exitcode is None and (not log.exists() or log.stat().st_size == before):
        time.sleep(0.005)


def digests(work: Path) -> dict[str, str]:
    policies = ("best", f"policy-{tiny.POLICY.iterations:04d}")
    files = sorted(work.glob("iteration-*/*"))
    return {name: weights_digest(load_folder(work / name)) for name in policies} | {
        str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
