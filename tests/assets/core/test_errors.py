"""Errors name the remedy, and a full disk is recognised in whatever words it comes."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from assets.core.errors import AthanorError, InputError, disk_is_full

FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.EFBIG, "File too large"),
    # As polars, safetensors and sqlite say it.
    RuntimeError("parquet: File out of specification: underlying IO error: No space left on device (os error 28)"),
    RuntimeError("parquet: File out of specification: underlying IO error: File too large (os error 27)"),
    RuntimeError("Error while serializing: I/O error: Disk quota exceeded (os error 122)"),
    sqlite3.OperationalError("database or disk is full"),
]
OTHER = [
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    PermissionError(errno.EACCES, "Permission denied"),
    ValueError("a file too large for this reader"),
    sqlite3.OperationalError("database is locked"),
]


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_disk_is_recognised(error: Exception) -> None:
    """Also when a library wrapped it, as MLflow does: the user is told to free space, not shown a traceback."""
    assert disk_is_full(error)
    for wrap in (wrapped_from, wrapped_during):
        assert disk_is_full(wrap(error))


@pytest.mark.parametrize("error", OTHER, ids=str)
def test_other_faults_are_not_a_full_disk(error: Exception) -> None:
    """Nobody frees space in vain."""
    assert not disk_is_full(error)
    assert not disk_is_full(wrapped_from(error))


def wrapped_from(error: Exception) -> Exception:
    try:
        raise KeyError("tracking failed") from error
    except KeyError as wrapped:
        return wrapped


def wrapped_during(error: Exception) -> Exception:
    try:
        try:
            raise error
        except type(error):
            raise KeyError("clean-up failed")  # noqa: B904 the point of the test
    except KeyError as wrapped:
        return wrapped


def test_an_error_shows_its_remedy() -> None:
    """What went wrong on the first line, what to do on the next."""
    error = InputError("rows.jsonl: empty", "give an input with at least one row")
    assert isinstance(error, AthanorError)
    assert str(error) == "rows.jsonl: empty\n  → give an input with at least one row"
    assert (error.message, error.remedy) == ("rows.jsonl: empty", "give an input with at least one row")
