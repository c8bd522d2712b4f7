"""How fast and how dear a stream of requests is, for the person who waits for it."""

from __future__ import annotations

import time

SECONDS_BETWEEN_NOTES = 0.5


class Pace:
    """Counts what an engine answers. `lap` may be called in another thread than the rest."""

    def __init__(self) -> None:
        self.tokens = 0
        self.cost: float | None = None
        self._started = self._lap_began = time.monotonic()
        self._asking = 0.0
        self._note, self._note_due = "", 0.0

    def begin(self) -> None:
        """The engine is asked from now on."""
        self._lap_began = time.monotonic()

    def lap(self) -> float:
        """Seconds of asking since the last lap."""
        now = time.monotonic()
        lap, self._lap_began = now - self._lap_began, now
        self._asking += lap
        return lap

    def add(self, tokens: int, cost: float | None) -> None:
        self.tokens += tokens
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost

    def note(self, done: int, total: int | None) -> str:
        """Tokens per second, cost and time left; made anew twice a second."""
        now = time.monotonic()
        if now >= self._note_due:
            self._note_due = now + SECONDS_BETWEEN_NOTES
            parts = [f"{self.tokens / self._asking:,.0f} tokens/s"] if self._asking else []
            parts += [f"{self.cost:.4f} US$"] if self.cost else []
            if total is not None and done:
                parts.append(f"{_clock((total - done) * (now - self._started) / done)} left")
            self._note = ", ".join(parts)
        return self._note


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
