"""Public data, and one verifier whose processes are started once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assets.core.verifier import Verifier, VerifierSettings

DATA = Path(__file__).parents[5] / "shared/data"
Rows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def rows() -> Rows:
    """Reads a public file of JSON lines; skips where it is not."""

    def read(name: str) -> list[dict[str, Any]]:
        if not (DATA / name).exists():
            pytest.skip("shared/data is not on this machine")
        with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    return read


@pytest.fixture(scope="session")
def verifier() -> Iterator[Verifier]:
    with Verifier(VerifierSettings(seconds=10)) as opened:
        yield opened
