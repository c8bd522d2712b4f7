"""An engine that starts when it is first asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from models.inference.engine import Completion, Engine, Failed, Request


class LazyEngine:
    """Knows its identity before it starts: an asset that is reused, or whose answers are stored, starts no server."""

    def __init__(self, identity: dict[str, object], start: Callable[[], Engine]) -> None:
        self._identity = identity
        self._start = start
        self._engine: Engine | None = None

    def identity(self) -> dict[str, object]:
        return self._identity

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """As `Engine.generate`; starts the engine the first time."""
        if self._engine is None:
            self._engine = self._start()
        yield from self._engine.generate(requests)

    def close(self) -> None:
        """Closes the engine if it was started."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
