"""Processes that read pages, and are killed where a record takes too long.

Not `rows.map`: there a process that dies takes the others' work with it.
"""

from __future__ import annotations

import gc
import multiprocessing
import resource
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import Self

import psutil
from pebble import ProcessExpired, ProcessPool

from assets.core.errors import AthanorError
from assets.corpora.crawl.extract import Extraction, read_page, use_plain_elements
from assets.corpora.crawl.schema import Capture, Page, Skip
from assets.corpora.schema import Reject

Found = Page | Skip | Reject
# A page takes about 20 ms, handing a task to a process about one (our defaults).
BATCH_RECORDS = 16
BATCH_BYTES = 1 << 20
# Batches that wait for each process, so that none is idle while the next is read; memory is bounded by it.
AHEAD = 2
# What a record may make a process grow by: a hostile page is stopped by it long before the machine is full.
GROWTH_BYTES = 2 << 30
# The limit is processor time, so that what is killed does not hang on the machine's load; this is for a process that
# sleeps instead.
WALL_SECONDS_PER_SECOND = 20
MAX_BREAKS = 3
# New objects after which a process looks for garbage: about those of a page.
YOUNG_OBJECTS = 20_000


def read_pages(
    captures: Iterable[Capture | Skip | Reject], settings: Extraction, seconds: float, workers: int
) -> Iterator[Found]:
    """The page of each capture in a pool of processes, in order; what was skipped or rejected before passes through.

    A record that takes more than `seconds` of processor time is a reject of reason `timeout`, one that its process dies
    of `extractor_died`. Raises AthanorError when processes keep dying without a record to blame.
    """
    waiting: deque[tuple[list[Capture | Skip | Reject], Future[list[Found]]]] = deque()
    with _Pool(settings, seconds, workers) as pool:
        for batch in _batches(captures):
            waiting.append((batch, pool.schedule(batch)))
            if len(waiting) > AHEAD * workers:
                yield from pool.found(*waiting.popleft())
        while waiting:
            yield from pool.found(*waiting.popleft())


def _batches(captures: Iterable[Capture | Skip | Reject]) -> Iterator[list[Capture | Skip | Reject]]:
    batch: list[Capture | Skip | Reject] = []
    size = 0
    for capture in captures:
        batch.append(capture)
        size += len(capture.content) if isinstance(capture, Capture) else 0
        if len(batch) == BATCH_RECORDS or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Pool:
    """Processes that end with the block. A pool that broke is replaced, and what it had is done by the next."""

    def __init__(self, settings: Extraction, seconds: float, workers: int) -> None:
        self._settings, self._seconds, self._workers = settings, seconds, workers
        self._breaks = 0
        self._pool = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.stop()
        self._pool.join()

    def schedule(self, batch: list[Capture | Skip | Reject]) -> Future[list[Found]]:
        wall = WALL_SECONDS_PER_SECOND * self._seconds * len(batch)
        try:
            return self._pool.schedule(_read_batch, args=(batch, self._settings, self._seconds), timeout=wall)
        except RuntimeError as error:
            # The pool takes no more tasks once it is broken.
            refused: Future[list[Found]] = Future()
            refused.set_exception(BrokenProcessPool(str(error)))
            return refused

    def found(self, batch: list[Capture | Skip | Reject], future: Future[list[Found]]) -> list[Found]:
        """What became of a batch. One that a process died of is read again record by record, to find the guilty."""
        try:
            return future.result()
        except BrokenProcessPool:
            self._replace()
            return self.found(batch, self.schedule(batch))
        except (ProcessExpired, TimeoutError) as error:
            if len(batch) > 1:
                singles = [[each] for each in batch]
                futures = [self.schedule(single) for single in singles]
                return [self.found(*pair)[0] for pair in zip(singles, futures, strict=True)]
            guilty = batch[0]
            assert isinstance(guilty, Capture)
            return [Reject(guilty.file, guilty.record, *self._blame(error))]

    def _blame(self, error: ProcessExpired | TimeoutError) -> tuple[str, str]:
        if isinstance(error, TimeoutError) or abs(error.exitcode) == signal.SIGPROF:
            return "timeout", f"more than {self._seconds:g} s of processor time"
        return "extractor_died", f"its process ended with exit code {error.exitcode}"

    def _start(self) -> ProcessPool:
        # A fork of a process with threads can hang, and Dagster has threads; from a server without them a process that
        # takes the place of a killed one starts at once.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "trafilatura", "pycld2"])
        return ProcessPool(self._workers, initializer=_start_worker, context=context)

    def _replace(self) -> None:
        if self._pool.active:
            return
        self._pool.stop()
        self._pool.join()
        self._breaks += 1
        if self._breaks == MAX_BREAKS:
            raise AthanorError(
                f"the processes that read pages died {self._breaks} times without a page to blame",
                "the log above says why if it was an error; else memory ran out: lower `workers` of `rows`",
            )
        self._pool = self._start()


def _start_worker() -> None:
    use_plain_elements()
    # What was imported stays: looking through it again and again for garbage takes some hundredths of a page's time.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    # The pool's own handler waits for Python's loop, which a parser in C never comes back to.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit = psutil.Process().memory_info().vms + GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read_batch(batch: list[Capture | Skip | Reject], settings: Extraction, seconds: float) -> list[Found]:
    return [_read_one(each, settings, seconds) if isinstance(each, Capture) else each for each in batch]


def _read_one(capture: Capture, settings: Extraction, seconds: float) -> Found:
    """The system itself ends the process when the time is up, in C or in Python."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return read_page(capture, settings)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
