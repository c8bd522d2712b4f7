"""Configuration of the evaluation sets."""

from __future__ import annotations

import os
from dataclasses import dataclass

import dagster as dg
from pydantic import Field


class EvaluationSetsConfig(dg.Config):
    """`decontamination/evaluation_sets`."""

    path: str = Field(
        default_factory=lambda: os.environ.get("ATHANOR_EVALUATION", ""),
        description="Evaluation sets of one's own: JSON lines, JSON array or Parquet; file, folder, glob, fsspec URL. "
        "Each file is a set. Default: the variable ATHANOR_EVALUATION; empty: only the sets of the graph.",
    )
    text_fields: list[str] = Field([], description="Fields whose texts are looked for; empty: all that hold text.")
    max_row_bytes: int = Field(1_000_000, gt=0, description="A longer line goes to the dead letters. Bytes.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    evaluation_sets: EvaluationSetsConfig


TINY = Config(EvaluationSetsConfig())
PAPER = Config(EvaluationSetsConfig())
