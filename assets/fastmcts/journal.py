"""Simulations on the disk while a search goes on, so that a killed one goes on from the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from assets.fastmcts.search import Simulation


class Journal:
    """A file with a line for every finished simulation, in the order in which they came.

    Lines reach the operating system at once: the death of the process loses none.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def read(self) -> list[Simulation]:
        """What was recorded. A line cut off by the end of the machine is removed: its simulation is made again."""
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            self._path.write_bytes(whole)
        return [_simulation(orjson.loads(line)) for line in whole.splitlines()]

    def record(self, simulations: Iterator[Simulation]) -> Iterator[Simulation]:
        """Passes the simulations on, each after it was written."""
        with self._path.open("ab", buffering=0) as file:
            for each in simulations:
                file.write(orjson.dumps(each) + b"\n")
                yield each


def _simulation(fields: dict[str, Any]) -> Simulation:
    steps = tuple(tuple(step) for step in fields["steps"])
    return Simulation(**fields | {"steps": steps, "shots": tuple(fields["shots"])})
