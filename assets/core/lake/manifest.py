"""What a published dataset says of itself; written last, so that a folder with a manifest is whole."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["dataset", "checkpoint"]


class StoredFile(BaseModel):
    """One file of a dataset. `part` names the slice of the dataset that a Parquet shard belongs to."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    bytes: int
    rows: int = 0
    part: str = ""


class Check(BaseModel):
    """The outcome of one check of a dataset, taken when it was built."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    facts: dict[str, Any] = {}


class Manifest(BaseModel):
    """The record of one version of one dataset or checkpoint."""

    key: str
    partition: str = ""
    kind: Kind = "dataset"
    fingerprint: str
    ingredients: dict[str, Any]
    columns: dict[str, str]
    shards: list[StoredFile]
    files: list[StoredFile] = []
    dead_letters: int = 0
    ledger: dict[str, Any] | None = None
    checks: list[Check] = []
    metadata: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    plots: list[str] = []
    preview: str = ""
    seconds: float = 0.0
    published: float = 0.0

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def sound(self) -> bool:
        """Whether every check passed; only then may a version become the current one."""
        return all(check.passed for check in self.checks)

    @property
    def parts(self) -> list[str]:
        return sorted({shard.part for shard in self.shards})

    def digest(self, part: str | None = None) -> str:
        """Digest of the content (of one part): columns, shards and files; not of plots, metadata, roles, seconds or
        ledgers.

        It tells any changed cell, column, dtype or order of rows. Equal rows have equal digests when their shards begin
        at the same rows: always when they fit one shard, whatever the batches in which they were written.
        """
        content = hashlib.sha256()
        for name, dtype in self.columns.items():
            content.update(f"{name}:{dtype}\n".encode())
        for shard in self.shards:
            if part in (None, shard.part):
                content.update(f"{shard.part}/{shard.sha256}\n".encode())
        for file in self.files:
            content.update(f"{file.name}={file.sha256}\n".encode())
        return content.hexdigest()
