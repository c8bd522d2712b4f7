"""Errors that say what to do."""

from __future__ import annotations


class AthanorError(Exception):
    """What went wrong and the remedy, both for a person to read."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}\n  → {remedy}")
        self.message = message
        self.remedy = remedy


class InputError(AthanorError):
    """A file or setting given from outside cannot be used."""
