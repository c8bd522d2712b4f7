"""What all requests to an endpoint share while it answers none: a pause, and the end of patience."""

from __future__ import annotations

import asyncio
import random
import time

from models.inference.engine import EngineError

LONGEST_BACKOFF_SECONDS = 30.0


def backoff(first_seconds: float, failures: int) -> float:
    """Seconds to wait: doubled with each failure, shortened at random by up to half so that requests spread."""
    return min(first_seconds * 2.0 ** (min(failures, 32) - 1), LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.0)


class Outage:
    """An endpoint that is unreachable or overloaded, seen by the requests of one event loop."""

    def __init__(self, backoff_seconds: float, patience_seconds: float) -> None:
        self._backoff_seconds = backoff_seconds
        self._patience_seconds = patience_seconds
        self._began: float | None = None
        self._pauses = 0
        self._until = 0.0

    async def over(self) -> None:
        """Waits for the end of the pause."""
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def answered(self) -> None:
        """The endpoint works."""
        self._began, self._pauses = None, 0

    def refused(self, what: str, remedy: str, retry_after: float | None) -> None:
        """Pauses all requests for `retry_after` seconds or, untold, for longer from pause to pause.

        Raises EngineError when patience ends before the pause does.
        """
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if now - self._began > self._patience_seconds:
            raise EngineError(f"{what}, for {now - self._began:.0f} s now", remedy)
        if retry_after is not None:
            if retry_after > self._patience_seconds:
                raise EngineError(f"{what}, and asks to wait {retry_after:.0f} s, beyond patience_seconds", remedy)
            self._until = max(self._until, now + retry_after)
        elif now >= self._until:
            self._pauses += 1
            self._until = now + backoff(self._backoff_seconds, self._pauses)
