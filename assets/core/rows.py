"""A function over frames of rows, in a pool of processes or on a Ray cluster: what comes out does not depend on it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import get_context
from typing import TYPE_CHECKING, Literal

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

FrameFunction = Callable[["pl.DataFrame"], "pl.DataFrame"]
# Frames that wait for each worker, so that none is idle while the next is read; memory is bounded by it.
AHEAD = 2


class RowsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where functions over rows run. It has no identity: every backend gives the same frames in the same order."""

    backend: Literal["processes", "ray"] = Field("processes", description="A pool of processes here, or Ray Data.")
    workers: int = Field(0, ge=0, description="Processes; 0 means one per core, 1 works in this process.")
    ray_address: str = Field("auto", description="Of the Ray cluster: `auto` finds the one that this machine is in.")
    ray_window: int = Field(256, gt=0, description="Frames that lie in Ray's object store at a time.")

    @property
    def processes(self) -> int:
        """How many processes work here."""
        return self.workers or os.cpu_count() or 1

    def map(self, function: FrameFunction, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """`function` of every frame, in the order of `frames`, which are read as they are needed.

        `function` is picklable (top-level, or a `functools.partial` of one) and depends on its frame alone. What it
        raises is raised here.
        """
        if self.backend == "ray":
            return _map_on_ray(function, frames, self.ray_address, self.ray_window)
        return _map_in_processes(function, frames, self.processes)


def _map_in_processes(function: FrameFunction, frames: Iterable[pl.DataFrame], workers: int) -> Iterator[pl.DataFrame]:
    frames = iter(frames)
    first = list(islice(frames, 2))
    # Starting processes costs more than a single frame does.
    if workers == 1 or len(first) < 2:
        yield from map(function, chain(first, frames))
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("forkserver"))
    try:
        waiting: deque[Future[pl.DataFrame]] = deque()
        for frame in chain(first, frames):
            waiting.append(pool.submit(function, frame))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _map_on_ray(
    function: FrameFunction, frames: Iterable[pl.DataFrame], address: str, window: int
) -> Iterator[pl.DataFrame]:
    import polars as pl
    import ray

    # Ray Data reports of its use from a thread that outlives the work and logs tracebacks, which Python 3.11 formats by
    # parsing code: a parse in another thread at that moment ends in a SystemError.
    os.environ.setdefault("RAY_DATA_USAGE_DISABLED", "1")
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    # A frame stays one block and blocks keep their order, so that shards begin at the same rows as without Ray.
    context.execution_options.preserve_order = True
    context.target_max_block_size = None
    context.enable_progress_bars = False

    def of_table(table: pa.Table) -> pa.Table:
        return function(pl.DataFrame(table)).to_arrow()

    frames = iter(frames)
    while tables := [frame.to_arrow() for frame in islice(frames, window)]:
        done = ray.data.from_arrow(tables).map_batches(of_table, batch_size=None, batch_format="pyarrow")
        for table in done.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield pl.DataFrame(table)
