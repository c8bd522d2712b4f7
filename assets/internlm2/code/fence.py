"""Code blocks of markdown."""

from __future__ import annotations

import re

_FENCES = re.compile(r"^\s*(`{3,})", re.MULTILINE)


def fenced(text: str, language: str) -> str:
    """A code block whose fence is longer than any in the text."""
    fence = "`" * max((len(found) + 1 for found in _FENCES.findall(text)), default=3)
    return f"{fence}{language}\n{text}\n{fence}"
