"""An event loop in a thread of its own, so that asynchronous work serves a synchronous caller."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import TypeVar

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

        Items are taken, and exceptions raised, in the caller's thread. Results that are finished when one item raises
        come before its exception; the rest is cancelled, as when the iterator is closed.
        """
        finished: queue.SimpleQueue[tuple[int, Result | None, Exception | None]] = queue.SimpleQueue()
        tasks: set[asyncio.Task[None]] = set()

        async def one(place: int, item: Item) -> None:
            try:
                finished.put((place, await work(item), None))
            except Exception as error:
                finished.put((place, None, error))

        def begin(place: int, item: Item) -> None:
            task = self._loop.create_task(one(place, item))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async def drop() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        source, going, more = enumerate(items), 0, True
        failure: Exception | None = None
        try:
            while failure is None:
                while more and going < window and finished.empty():
                    try:
                        place, item = next(source)
                    except StopIteration:
                        more = False
                        break
                    self._loop.call_soon_threadsafe(begin, place, item)
                    going += 1
                if going == 0:
                    return
                place, result, failure = finished.get()
                going -= 1
                if failure is None:
                    yield place, result  # type: ignore[misc]
            while not finished.empty():
                place, result, error = finished.get()
                if error is None:
                    yield place, result  # type: ignore[misc]
            raise failure
        finally:
            if going:
                self.run(drop())

    def close(self) -> None:
        """Stops the loop; nothing may be under way."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
