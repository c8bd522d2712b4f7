"""One sandbox for the tests that only run programs in it, and the benchmarks' public rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assets.core.sandbox import Limits, Sandbox

DATA = Path(__file__).parents[5] / "shared" / "data" / "code"


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, limits=Limits(seconds=5, memory_bytes=256 << 20)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def rows() -> Callable[[str], list[dict[str, str]]]:
    """Every row of a gzipped JSON-lines file of code benchmarks."""

    def read(name: str) -> list[dict[str, str]]:
        if not (DATA / name).exists():
            pytest.skip(f"{name} is not in the folder of public data beside the checkout")
        with gzip.open(DATA / name, "rt") as file:
            return [json.loads(line) for line in file]

    return read
