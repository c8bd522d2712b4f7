"""Results of an event loop, taken by a synchronous caller."""

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inference.background_loop import BackgroundLoop


@pytest.fixture(scope="module")
def loop() -> Iterator[BackgroundLoop]:
    made = BackgroundLoop("test")
    yield made
    made.close(nothing)
    made.close(nothing)


async def nothing() -> None:
    """What is left to do at the end."""


@settings(deadline=None)
@given(delays=st.lists(st.sampled_from([0.0, 0.001, 0.003]), max_size=40), window=st.integers(1, 9))
def test_every_item_has_its_own_result_once(loop: BackgroundLoop, delays: list[float], window: int) -> None:
    """Whatever the order in which they finish; the window is never passed."""
    going = most = 0

    async def work(item: tuple[int, float]) -> int:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await asyncio.sleep(item[1])
        going -= 1
        return item[0] * 10

    results = list(loop.stream(enumerate(delays), work, window))
    assert sorted(results) == [(place, place * 10) for place in range(len(delays))]
    assert most <= window


def test_items_are_taken_as_there_is_room(loop: BackgroundLoop) -> None:
    """An endless iterable is read no further than the window; closing the stream cancels what is under way."""
    cancelled = []

    async def work(item: int) -> int:
        try:
            await asyncio.sleep(0.1 if item == 0 else 3600)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    source = itertools.count()
    stream = loop.stream(source, work, 5)
    assert next(stream) == (0, 0)
    stream.close()
    assert next(source) == 5
    assert sorted(cancelled) == [1, 2, 3, 4]


def test_an_exception_reaches_the_caller_after_what_is_finished(loop: BackgroundLoop) -> None:
    """Answers that were paid for are not lost to another's failure; nothing is left running."""

    async def work(item: int) -> int:
        await asyncio.sleep([0, 0, 0, 0.1, 3600][item])
        if item == 3:
            raise KeyError(item)
        return item

    stream = loop.stream(range(5), work, 5)
    seen = [next(stream)[0]]
    time.sleep(0.2)
    with pytest.raises(KeyError):  # noqa: PT012
        for place, _ in stream:
            seen.append(place)
    assert sorted(seen) == [0, 1, 2]
    assert loop.run(others()) == 0


def test_an_exception_of_the_items_reaches_the_caller(loop: BackgroundLoop) -> None:
    """And what was begun is cancelled."""

    def items() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    async def work(item: int) -> None:
        await asyncio.sleep(3600)

    with pytest.raises(OSError, match="disk"):
        list(loop.stream(items(), work, 5))
    assert loop.run(others()) == 0


def test_slow_callers_do_not_stop_the_work(loop: BackgroundLoop) -> None:
    """Of results that were finished together, each that the caller takes makes room for another item."""
    barrier = asyncio.Barrier(4)
    begun = []

    async def work(item: int) -> int:
        begun.append(item)
        await barrier.wait()
        return item

    stream = loop.stream(range(100), work, 4)
    for taken in range(1, 40):
        next(stream)
        deadline = time.monotonic() + 5
        while len(begun) < taken + 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(begun) >= taken + 3
    stream.close()


def test_slow_items_do_not_keep_results_waiting(loop: BackgroundLoop) -> None:
    """A result is handed over before the window is full."""

    def items() -> Iterator[int]:
        for item in range(1000):
            time.sleep(0.005)
            taken.append(item)
            yield item

    async def work(item: int) -> int:
        return item

    taken: list[int] = []
    stream = loop.stream(items(), work, 500)
    next(stream)
    assert len(taken) < 100
    stream.close()


async def others() -> int:
    """Tasks that are under way beside this one."""
    return len(asyncio.all_tasks()) - 1
