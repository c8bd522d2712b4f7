"""The lake and the trainer as Dagster resources."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import dagster as dg
from pydantic import Field

from assets.core.lake import Lake


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where datasets are published: a local path or an fsspec URL; work in progress lies in a local folder."""

    root: str
    work: str

    def open(self) -> Lake:
        return Lake(self.root, Path(self.work))


class TrainerResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What training runs on. It counts in the fingerprint: another dtype or device gives other weights."""

    device: Literal["cpu", "cuda"] = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    threads: int = Field(1, gt=0, description="CPU threads: sums are ordered by it, so it is fixed, not detected.")

    def identity(self) -> dict[str, object]:
        return {"backend": "torch", "device": self.device, "dtype": self.dtype, "threads": self.threads}
