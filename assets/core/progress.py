"""What a person sees while work goes on: one logger, and progress bars on long work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
LOGGER = logging.getLogger("athanor")


def track(items: Iterable[Item], *, label: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Iterate with a progress bar on a terminal, with a line every ten seconds elsewhere."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    yield from tqdm(
        items,
        desc=f"    {label}",
        total=total,
        unit=unit,
        leave=False,
        mininterval=0.2 if terminal else 10,
        maxinterval=1 if terminal else 10,
        disable=not LOGGER.isEnabledFor(logging.INFO),
        dynamic_ncols=terminal,
    )
