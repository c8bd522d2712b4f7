"""What a person sees while work goes on: one logger, and progress on long work.

On a terminal progress is a bar; elsewhere (Dagster's log, a file) it is a line every few seconds.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
LOGGER = logging.getLogger("athanor")
SECONDS_BETWEEN_LINES = 10


@contextmanager
def bar(total: int | None, *, label: str, unit: str = "") -> Iterator[Callable[[str], None]]:
    """Progress over `total` units: call the result after each, with what to show beside it."""
    if not LOGGER.isEnabledFor(logging.INFO):
        yield lambda note: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=f"    {label}", unit=unit, leave=False, dynamic_ncols=True) as shown:

            def advance(note: str) -> None:
                shown.set_postfix_str(note, refresh=False)
                shown.update()

            yield advance
    else:
        yield _lines(total, label, unit)


def _lines(total: int | None, label: str, unit: str) -> Callable[[str], None]:
    done, due = 0, time.monotonic() + SECONDS_BETWEEN_LINES

    def advance(note: str) -> None:
        nonlocal done, due
        done += 1
        if time.monotonic() >= due:
            due = time.monotonic() + SECONDS_BETWEEN_LINES
            of = f" of {total:,}" if total is not None else ""
            LOGGER.info("       %s: %s%s%s %s", label, f"{done:,}", of, unit, note)

    return advance


def track(items: Iterable[Item], *, label: str, total: int | None = None, unit: str = "") -> Iterator[Item]:
    """Iterate with progress."""
    with bar(total, label=label, unit=unit) as advance:
        for item in items:
            yield item
            advance("")
