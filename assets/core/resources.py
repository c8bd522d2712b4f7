"""The lake as a Dagster resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from assets.core.lake import Lake


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where datasets are published: a local path or an fsspec URL; work in progress lies in a local folder."""

    root: str
    work: str

    def open(self) -> Lake:
        return Lake(self.root, Path(self.work))
