"""A file of a repository as a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

import polars as pl

from assets.core.ids import content_id

Kind = Literal["code", "document"]

FILE_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "repo": pl.String(),
        "path": pl.String(),
        "language": pl.String(),
        "kind": pl.String(),
        "text": pl.String(),
        "n_bytes": pl.Int64(),
    }
)
REPOSITORY_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "repo": pl.String(),
        "files_in_order": pl.List(pl.String()),
        "repeats": pl.Int64(),
        "markdown": pl.String(),
        "n_bytes": pl.Int64(),
    }
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: `path` is relative to its repository, with slashes; `n_bytes` is the text's length in UTF-8."""

    id: str
    repo: str
    path: str
    language: str
    kind: Kind
    text: str
    n_bytes: int
    parents: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not taken: dropped for `reason`, or one that could not be read, with the `detail`."""

    file: str
    reason: str
    detail: str = ""


def source_file(repo: str, path: str, language: str, kind: Kind, text: str) -> SourceFile:
    """A file whose id is derived from its place and its text. Raises UnicodeEncodeError for a lone surrogate."""
    return SourceFile(content_id("file", repo, path, text), repo, path, language, kind, text, len(text.encode()))


def files_frame(files: Iterable[SourceFile]) -> pl.DataFrame:
    """Files as a frame of FILE_SCHEMA."""
    return pl.DataFrame([asdict(file) for file in files], schema=FILE_SCHEMA)
