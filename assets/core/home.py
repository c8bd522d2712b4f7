"""The one folder that holds everything a run keeps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Home:
    """Where a run keeps its data: `ATHANOR_HOME`, by default `.athanor` in the checkout."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        return cls(Path(os.environ.get("ATHANOR_HOME") or CHECKOUT / ".athanor").expanduser().resolve())

    @property
    def lake(self) -> str:
        """Root of the lake: `ATHANOR_LAKE` (a path or any fsspec URL), by default a folder of the home."""
        return os.environ.get("ATHANOR_LAKE") or str(self.root / "lake")

    @property
    def work(self) -> Path:
        """Trainer states and other work in progress, kept for exact resume and removed when it is published."""
        return self.root / "work"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with views over the lake and the marts that dbt builds."""
        return self.root / "warehouse.duckdb"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: `MLFLOW_TRACKING_URI`, by default SQLite in the home."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        return self.root / "mlflow-artifacts"
