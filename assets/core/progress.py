"""What a person sees while work goes on: one logger, and progress bars on long work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
LOGGER = logging.getLogger("athanor")


@contextmanager
def bar(total: int, *, label: str, initial: int = 0, unit: str = "it") -> Iterator[Callable[[str], None]]:
    """A progress bar; call the result after each of `total` units with what to show beside it."""
    from tqdm import tqdm

    with tqdm(total=total, initial=initial, unit=unit, **_appearance(label)) as shown:

        def advance(note: str) -> None:
            shown.set_postfix_str(note, refresh=False)
            shown.update()

        yield advance


def track(items: Iterable[Item], *, label: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Iterate with a progress bar on a terminal, with a line every ten seconds elsewhere."""
    from tqdm import tqdm

    yield from tqdm(items, total=total, unit=unit, **_appearance(label))


def _appearance(label: str) -> dict[str, Any]:
    terminal = sys.stderr.isatty()
    return {
        "desc": f"    {label}",
        "leave": False,
        "mininterval": 0.2 if terminal else 10,
        "maxinterval": 1 if terminal else 10,
        "dynamic_ncols": terminal,
        "disable": not LOGGER.isEnabledFor(logging.INFO),
    }
