"""Errors that say what to do."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Libraries written in Rust and C++ keep the system's words, but not its error number.
FULL_WORDS = ("no space left on device", "(os error 27)", "(os error 122)", "database or disk is full")


class AthanorError(Exception):
    """What went wrong and the remedy, both for a person to read."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}\n  → {remedy}")
        self.message = message
        self.remedy = remedy


class InputError(AthanorError):
    """A file or setting given from outside cannot be used."""


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, says that nothing more can be written."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(words in str(error).lower() for words in FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
