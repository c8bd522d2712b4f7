"""The fingerprint of a dataset: everything that determines its content, known before it is built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Ingredients = dict[str, Any]


def fingerprint(ingredients: Ingredients) -> str:
    """sha256 of the ingredients as canonical JSON."""
    return hashlib.sha256(canonical(ingredients).encode()).hexdigest()


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two sets of ingredients, as `path: old → new` lines for a person."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += changes(before, after, f"{prefix}{name}.")
        elif before != after:
            lines.append(f"{prefix}{name}: {_short(before)} → {_short(after)}")
    return lines


def _short(value: object) -> str:
    text = canonical(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
