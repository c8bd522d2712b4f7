"""The lake, and what a model computes on, as Dagster resources."""

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


class ComputeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What a model computes on. It counts in the fingerprint: another dtype or device gives other numbers."""

    device: Literal["cpu", "cuda"] = Field("cpu", description="Where models compute.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Of forward and backward passes.")
    threads: int = Field(1, gt=0, description="CPU threads: sums are ordered by it, so it is fixed, not detected.")

    def identity(self) -> dict[str, object]:
        return {"backend": "torch", "device": self.device, "dtype": self.dtype, "threads": self.threads}
