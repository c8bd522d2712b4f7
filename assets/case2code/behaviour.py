"""What a function does, as a hash of what it answers, and the split that follows from it. No I/O.

Splits are by behaviour, never by text: `x + x` in training would give away `2 * x` in the test.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from typing import Literal

from assets.case2code.normalise import sorted_sets
from assets.case2code.schema import ADDRESS, Output
from assets.core.ids import content_id

Split = Literal["train", "valid", "test"]
# Sums in another order differ by a few units in the last of 16 digits (our default).
SIGNIFICANT_DIGITS = 9


def behaviour_hash(inputs: Sequence[str], outputs: Sequence[Output], *, digits: int = SIGNIFICANT_DIGITS) -> str | None:
    """The hash of a function's answers to its canonical inputs, 32 hex characters; None where there is none to trust.

    `inputs` are the arguments by position, so that names do not count. Exceptions count by their text. Sets are in a
    fixed order, floats rounded to `digits` significant digits; an object's address changes with every run: None.
    """
    if not outputs or any(ADDRESS in output.text for output in outputs):
        return None
    answers = (
        f"error {output.text}" if output.is_error else f"value {rounded_floats(sorted_sets(output.text), digits)}"
        for output in outputs
    )
    return content_id("behaviour", *(part for pair in zip(inputs, answers, strict=True) for part in pair))


def rounded_floats(text: str, digits: int) -> str:
    """The repr of a value with its floats to so many significant digits; text that is no expression is unchanged."""
    if "." not in text and "e" not in text:
        return text
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    floats = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    for node in floats:
        node.value = float(f"{node.value:.{digits - 1}e}")
    return ast.unparse(tree) if floats else text


def is_constant(outputs: Sequence[Output]) -> bool:
    """Whether a function answers every input alike: nothing of it can be induced."""
    return len(set(outputs)) <= 1


def split_of(behaviour: str, *, valid_share: float, test_share: float, seed: int = 0) -> Split:
    """The split of a behaviour: every function with it has the same, whatever else there is."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{behaviour}".encode()).digest()[:8]) / 2**64
    if drawn < test_share:
        return "test"
    return "valid" if drawn < test_share + valid_share else "train"
