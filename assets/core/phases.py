"""Work in phases, each of which is done once: what it made lies on the disk before the next one begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def phase(path: Path, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """The rows in the Parquet file `path`, made by `make` and written where it is not there. A kill leaves the whole
    file or none."""
    import polars as pl

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".unfinished-{path.name}")
        make().write_parquet(unfinished)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.rename(path)
    return pl.read_parquet(path)
