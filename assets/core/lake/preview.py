"""The first rows of a dataset as a Markdown table, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

PREVIEW_ROWS = 5
PREVIEW_WIDTH = 60


def preview(frame: pl.DataFrame) -> str:
    """The first rows, long values cut."""
    rows = frame.head(PREVIEW_ROWS)
    lines = ["| " + " | ".join(rows.columns) + " |", "|" + " --- |" * len(rows.columns)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows.iter_rows()]
    return "\n".join(lines)


def _cell(value: object) -> str:
    """A cell on one line; a long list is cut before it is turned into text, because rows may hold whole documents."""
    if isinstance(value, str | bytes | list):
        value = value[: 2 * PREVIEW_WIDTH]
    text = " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= PREVIEW_WIDTH else f"{text[: PREVIEW_WIDTH - 1]}…"
