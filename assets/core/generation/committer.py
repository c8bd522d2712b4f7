"""Commits answers while others are awaited: whatever came during one commit goes into the next."""

from __future__ import annotations

import queue
from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import Generic, TypeVar

Arrived = TypeVar("Arrived")
Committed = TypeVar("Committed")
MOST_AT_ONCE = 1000
MOST_WAITING = 10 * MOST_AT_ONCE


class Committer(Generic[Arrived, Committed]):
    """Hands batches of what arrives to `commit` in a thread of its own, and gives back what that returns.

    Every `put` is under way to the disk at once, and none waits for a batch to fill. Leaving the `with` commits what
    has arrived, also after an error.
    """

    def __init__(self, commit: Callable[[list[Arrived]], Committed]) -> None:
        self._commit = commit
        self._arrived: queue.SimpleQueue[Arrived | None] = queue.SimpleQueue()
        self._committed: queue.SimpleQueue[tuple[int, Committed | BaseException]] = queue.SimpleQueue()
        self._waiting = 0
        # A daemon: a stream that nobody closes must not keep the process from ending.
        self._thread = Thread(target=self._commit_all, name="commit", daemon=True)
        self._thread.start()

    def put(self, item: Arrived) -> None:
        self._waiting += 1
        self._arrived.put(item)

    def taken(self, *, everything: bool = False) -> list[Committed]:
        """What was committed since the last time, without waiting; or `everything`, after waiting for it.

        Raises what `commit` raised.
        """
        results = []
        while self._waiting:
            try:
                items, result = self._committed.get(block=everything or self._waiting > MOST_WAITING)
            except queue.Empty:
                break
            self._waiting -= items
            if isinstance(result, BaseException):
                raise result
            results.append(result)
        return results

    def __enter__(self) -> Committer[Arrived, Committed]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._arrived.put(None)
        self._thread.join()

    def _commit_all(self) -> None:
        ended = False
        while not ended:
            batch = [self._arrived.get()]
            while len(batch) < MOST_AT_ONCE and not self._arrived.empty():
                batch.append(self._arrived.get())
            ended = batch[-1] is None
            items = [item for item in batch if item is not None]
            try:
                if items:
                    self._committed.put((len(items), self._commit(items)))
            except BaseException as error:
                self._committed.put((len(items), error))
