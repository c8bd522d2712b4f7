"""Programs in, outcomes out as they are finished."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from itertools import islice
from typing import Self

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from assets.core.errors import AthanorError
from assets.core.sandbox.program import Limits, Outcome, Program
from assets.core.sandbox.verdict import Unusable
from assets.core.sandbox.worker import Worker, bubblewrap

ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.1


class Sandbox:
    """Runs programs in bubblewrap, each in a process and namespaces of its own. Safe to use from many threads.

    Raises AthanorError at once where programs cannot be isolated: there is no lower level to fall back to.
    """

    level = "bubblewrap"

    def __init__(self, workers: int | None = None, limits: Limits | None = None) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self.limits = limits or Limits()
        bubblewrap()
        self._lock = threading.Lock()
        self._running: set[Worker] = set()
        self._closed = False
        self._mine = threading.local()
        # A worker belongs to the thread that started it: bubblewrap dies with that thread.
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="sandbox")
        try:
            self._threads.submit(self._worker).result()
        except BaseException:
            self.close()
            raise

    def identity(self) -> dict[str, object]:
        """What counts in a fingerprint of what programs answer."""
        return identity(self.limits)

    def run(self, programs: Iterable[Program]) -> Iterator[tuple[int, Outcome]]:
        """The position and outcome of each program, as each is finished.

        Programs are taken only as there is room for them: at most twice as many as workers are under way.
        """
        source = enumerate(programs)
        under_way: dict[Future[Outcome], int] = {}
        try:
            while True:
                for index, program in islice(source, 2 * self.workers - len(under_way)):
                    under_way[self._threads.submit(self._outcome, program)] = index
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    yield under_way.pop(future), future.result()
        finally:
            for future in under_way:
                future.cancel()

    def _outcome(self, program: Program) -> Outcome:
        limits = program.limits or self.limits
        attempts = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=FIRST_WAIT_SECONDS),
            retry=retry_if_exception_type((Unusable, AthanorError)),
            retry_error_callback=_given_up,
        )
        outcome = attempts(self._attempt, program, limits)
        return replace(outcome, attempts=attempts.statistics["attempt_number"])

    def _attempt(self, program: Program, limits: Limits) -> Outcome:
        try:
            return self._worker().run(program, limits)
        except BaseException:
            self._discard()
            raise

    def _worker(self) -> Worker:
        worker = getattr(self._mine, "worker", None)
        if worker is None:
            worker = self._mine.worker = Worker()
            with self._lock:
                self._running.add(worker)
                if self._closed:
                    worker.kill()
        return worker

    def _discard(self) -> None:
        worker = getattr(self._mine, "worker", None)
        if worker is not None:
            self._mine.worker = None
            with self._lock:
                self._running.discard(worker)
            worker.kill()

    def close(self) -> None:
        """End all workers and what they run."""
        with self._lock:
            self._closed = True
            for worker in self._running:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def identity(limits: Limits) -> dict[str, object]:
    """What counts in a fingerprint of what programs answer under these limits; no sandbox is started."""
    return {"level": Sandbox.level, "limits": asdict(limits), "python": platform.python_version()}


def _given_up(state: RetryCallState) -> Outcome:
    """The program, or this machine, breaks every worker. A worker that cannot even be started ends the whole run."""
    assert state.outcome is not None
    error = state.outcome.exception()
    if isinstance(error, AthanorError):
        raise error
    return Outcome("infrastructure", detail=str(error))
