"""An event loop in a thread of its own, so that asynchronous work serves a synchronous caller."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BackgroundLoop:
    """Runs coroutines for callers of any thread until `close`."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[object, object, Result]) -> Result:
        """The coroutine's result; the caller waits."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stream(
        self, items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], window: int
    ) -> Iterator[tuple[int, Result]]:
        """Each item's place and result as they are finished, with at most `window` under way.

        Items are taken, and exceptions raised, in the caller's thread. What is finished when one item raises comes
        before its exception; the rest is cancelled, as when the iterator is closed.
        """
        tasks = _Tasks(self._loop, work)
        source, going = enumerate(items), 0
        results: list[tuple[int, Result]] = []
        failure: Exception | None = None
        try:
            while True:
                # One for one: neither a slow iterable nor a slow caller keeps the other's work waiting.
                taken = next(source, None) if failure is None and going < window else None
                if taken is not None:
                    tasks.begin(*taken)
                    going += 1
                if not results and failure is None and going and (taken is None or not tasks.finished.empty()):
                    results, failure = tasks.finished.get()
                    going -= len(results) + (failure is not None)
                if results:
                    yield results.pop()
                elif failure is not None:
                    raise failure
                elif taken is None and not going:
                    return
        finally:
            if going:
                self.run(tasks.cancel())

    def close(self, last: Callable[[], Coroutine[object, object, None]]) -> None:
        """Runs `last`, and ends the thread; nothing else may be under way. A second call does nothing."""
        if self._loop.is_closed():
            return
        self.run(last())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Tasks(Generic[Item, Result]):
    """The tasks of one stream. To and from the loop's thread they pass in batches: each passage wakes a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Callable[[Item], Awaitable[Result]]) -> None:
        # Results that came together, and the exception that ended the last of them.
        self.finished: queue.SimpleQueue[tuple[list[tuple[int, Result]], Exception | None]] = queue.SimpleQueue()
        self._loop = loop
        self._work = work
        self._waiting: deque[tuple[int, Item]] = deque()
        self._results: list[tuple[int, Result]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, place: int, item: Item) -> None:
        self._waiting.append((place, item))
        if len(self._waiting) == 1:
            self._loop.call_soon_threadsafe(self._begin_waiting)

    async def cancel(self) -> None:
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin_waiting(self) -> None:
        while self._waiting:
            task = self._loop.create_task(self._one(*self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, place: int, item: Item) -> None:
        try:
            result = await self._work(item)
        except Exception as error:
            self._hand_over(error)
            return
        self._results.append((place, result))
        if len(self._results) == 1:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self, failure: Exception | None = None) -> None:
        if self._results or failure is not None:
            self.finished.put((self._results, failure))
            self._results = []
