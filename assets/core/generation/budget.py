"""A limit on what may be spent, kept before a request is sent and not after the bill."""

from __future__ import annotations

from threading import Lock

from assets.core.errors import AthanorError
from assets.core.generation.store import GenerationStore


class Budget:
    """At most `limit` US dollars, counted over the whole ledger of a store: all roles, assets, runs and processes.

    A request is sent when what was spent, what all requests in flight may cost and what it may cost itself stay within
    the limit. What other processes have in flight is not known here, and counts when it is answered.
    """

    def __init__(self, limit: float, store: GenerationStore) -> None:
        self.limit = limit
        self._store = store
        self._lock = Lock()
        self._reserved = 0.0
        self._spent = store.spent()

    def reserve(self, most: float) -> bool:
        """Whether a request that costs at most so much may be sent."""
        with self._lock:
            fits = self._spent + self._reserved + most <= self.limit
            self._reserved += most if fits else 0.0
        return fits

    def settle(self, most: float) -> None:
        """Give up what was reserved: the ledger has what was spent of it, and what other processes spent."""
        spent = self._store.spent()
        with self._lock:
            self._reserved -= most
            self._spent = spent

    def error(self, most: float) -> AthanorError:
        """What to tell a person when the next request, which costs at most so much, does not fit."""
        return AthanorError(
            f"the budget of {self.limit:g} US dollars is spent: {self._spent:.4g} by now, and the next request may "
            f"cost {most:.2g}",
            "raise `budget` in the file of roles and run again: what was answered is kept",
        )
