"""Processes that grade mathematics, and are killed when they take too long."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import psutil
from pebble import ProcessExpired, ProcessPool

from assets.core.errors import AthanorError
from assets.core.verifier.extract import Extracted
from assets.core.verifier.math_rule import forget, grade_math, warm_up
from assets.core.verifier.outcome import Grade

Pair = tuple[str, Extracted]
# A comparison takes milliseconds, as does handing a task to a process (our default).
BATCH = 32
# What an answer may make a process grow by: a tower of powers is stopped by it long before the machine is full.
GROWTH_BYTES = 1 << 30
MAX_BREAKS = 3


class MathPool:
    """Grades pairs of a gold and an extracted answer. Processes start with the first pair, and end with `close`."""

    def __init__(self, seconds: float, workers: int) -> None:
        self.seconds = seconds
        self.workers = workers
        self._pool: ProcessPool | None = None
        self._lock = threading.Lock()

    def grade(self, pairs: Sequence[Pair]) -> list[Grade]:
        """A grade for each pair, in order.

        Pairs go in batches, and a batch may take as long as one pair. One that takes longer, or whose process dies, is
        graded again pair by pair, so that only the guilty pair is `timeout` or `grader_error`. Raises AthanorError when
        processes keep dying without a pair to blame.
        """
        grades: dict[int, Grade] = {}
        waiting = [range(start, min(start + BATCH, len(pairs))) for start in range(0, len(pairs), BATCH)]
        breaks = 0
        with self._lock:
            while waiting:
                again: list[range] = []
                broken = False
                for batch, result in self._run(pairs, waiting):
                    if isinstance(result, list):
                        grades.update(zip(batch, result, strict=True))
                    elif isinstance(result, BrokenProcessPool):
                        broken = True
                        again.append(batch)
                    elif len(batch) > 1:
                        again.extend(range(index, index + 1) for index in batch)
                    else:
                        grades[batch[0]] = self._no_verdict(pairs[batch[0]][1], result)
                waiting = again
                if broken:
                    breaks += 1
                    self._restart(breaks)
        return [grades[index] for index in range(len(pairs))]

    def close(self) -> None:
        """Ends the processes."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def _run(self, pairs: Sequence[Pair], batches: Sequence[range]) -> Iterator[tuple[range, list[Grade] | Exception]]:
        pool = self._started()
        futures = [(batch, self._schedule(pool, [pairs[index] for index in batch])) for batch in batches]
        for batch, future in futures:
            try:
                yield batch, future.result()
            except Exception as error:
                yield batch, error

    def _schedule(self, pool: ProcessPool, pairs: list[Pair]) -> Future[list[Grade]]:
        try:
            return pool.schedule(_grade_batch, args=(pairs,), timeout=self.seconds)
        except RuntimeError as error:
            # The pool takes no more tasks once it is broken.
            refused: Future[list[Grade]] = Future()
            refused.set_exception(BrokenProcessPool(str(error)))
            return refused

    def _started(self) -> ProcessPool:
        if self._pool is None:
            # A fork of a process with threads can hang; torch and Dagster have threads.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(self.workers, initializer=_start_worker, context=context)
        return self._pool

    def _restart(self, breaks: int) -> None:
        self.close()
        if breaks == MAX_BREAKS:
            raise AthanorError(
                f"the processes that grade mathematics died {breaks} times while they had nothing to grade",
                "look for the out-of-memory killer in the system's log, or lower the number of workers",
            )

    def _no_verdict(self, answer: Extracted, error: Exception) -> Grade:
        if isinstance(error, TimeoutError):
            return Grade("timeout", answer.text, f"no verdict in {self.seconds:g} s")
        if isinstance(error, ProcessExpired):
            return Grade("grader_error", answer.text, f"the grading process died, exit code {error.exitcode}")
        return Grade("grader_error", answer.text, f"{type(error).__name__}: {error}"[:300])


def _start_worker() -> None:
    # The pool's own handler waits for Python's loop, which a power of huge numbers never comes back to.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warm_up()
    limit = psutil.Process().memory_info().vms + GROWTH_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _grade_batch(pairs: Sequence[Pair]) -> list[Grade]:
    grades = [grade_math(gold, answer) for gold, answer in pairs]
    forget()
    return grades
