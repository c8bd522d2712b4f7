"""Content-derived row ids."""

from __future__ import annotations

import hashlib


def content_id(*parts: str) -> str:
    """The id of a row: 32 hex characters of the sha256 of its length-prefixed parts (our default)."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()[:32]
