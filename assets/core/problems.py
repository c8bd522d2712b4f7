"""What every set of problems with a checkable answer looks like, and how problems are put into splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import polars as pl

# One row a problem. `gold_solution` may be empty; `difficulty` and `skill` have the scale and names of their source;
# `verifier` says how an answer is compared: "exact" or "math".
PROBLEMS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "split": pl.String(),
        "question": pl.String(),
        "gold_answer": pl.String(),
        "gold_solution": pl.String(),
        "difficulty": pl.Int64(),
        "skill": pl.String(),
        "verifier": pl.String(),
    }
)
TRAINING = ("sft", "rl", "search")
EVALUATION = ("valid", "test")
SPLITS = (*TRAINING, *EVALUATION)


def split_of(question: str, weights: Mapping[str, float], seed: int = 0) -> str:
    """The split that a hash of the question draws, each with a probability proportional to its weight."""
    digest = hashlib.sha256(f"{seed}:{question}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64 * sum(weights.values())
    for split, weight in weights.items():
        place -= weight
        if place < 0:
            return split
    return next(split for split in reversed(list(weights)) if weights[split])


def problems_frame(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Problems as a frame of PROBLEMS."""
    return pl.DataFrame(rows, schema=PROBLEMS)


def counts(problems: pl.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """How many problems each split has of each value of `column`."""
    found: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    grouped = problems.group_by("split", column).len().sort(column)
    for split, value, rows in grouped.iter_rows():
        found[split][str(value)] = rows
    return found
