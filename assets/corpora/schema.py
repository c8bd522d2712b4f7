"""A document row, and the row-level fault that takes its place when it cannot be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

import polars as pl

from assets.core.ids import content_id

Kind = Literal["prose", "code"]

DOCUMENT_SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "kind": pl.String(),
        "package": pl.String(),
        "module": pl.String(),
        "name": pl.String(),
        "text": pl.String(),
        "n_bytes": pl.Int64(),
    }
)
REJECT_SCHEMA = pl.Schema({"file": pl.String(), "line": pl.Int64(), "reason": pl.String(), "detail": pl.String()})


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its text and where it came from.

    `package` is the coarse origin (an independent grouping for evaluation), `module` the file and `name` the
    place in it. `parents` are ids of the rows it was made from: none for what is read from outside.
    """

    id: str
    kind: Kind
    package: str
    module: str
    name: str
    text: str
    n_bytes: int
    parents: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be read. `line` (of a table: the row) counts from 1; None for a whole file."""

    file: str
    line: int | None
    reason: str
    detail: str


def document(
    kind: Kind, package: str, module: str, name: str, text: str, place: tuple[str, ...] | None = None
) -> Document:
    """A document whose id is derived from its place and its text.

    `place` is what sets it apart from an equal text elsewhere; by default its module and name. Raises
    UnicodeEncodeError when the text holds a lone surrogate, which no file could store.
    """
    n_bytes = len(text.encode("utf-8"))
    return Document(content_id(kind, *(place or (module, name)), text), kind, package, module, name, text, n_bytes)


def documents_frame(documents: Iterable[Document]) -> pl.DataFrame:
    """Documents as a frame of DOCUMENT_SCHEMA."""
    return pl.DataFrame([asdict(row) for row in documents], schema=DOCUMENT_SCHEMA)


def rejects_frame(rejects: Iterable[Reject]) -> pl.DataFrame:
    """Rejects as a frame of REJECT_SCHEMA, for the dead letters."""
    return pl.DataFrame([asdict(row) for row in rejects], schema=REJECT_SCHEMA)
