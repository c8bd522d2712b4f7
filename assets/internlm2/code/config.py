"""Configuration of the code pipeline: presets TINY (laptop) and PAPER (published values)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import dagster as dg
from pydantic import Field, model_validator


class FilesConfig(dg.Config):
    """`internlm2/code/files`."""

    folder: str = Field(
        default_factory=lambda: os.environ.get("ATHANOR_REPOSITORIES", ""),
        description="Folder whose sub-folders are repositories. Default: the variable ATHANOR_REPOSITORIES; empty: the "
        "packages of the standard library of the running Python are the repositories.",
    )
    min_package_files: int = Field(
        4, ge=1, description="Packages of the standard library with fewer files are no repository; our default."
    )
    max_bytes: int = Field(1_000_000, gt=0, description="Longer files are dropped. Bytes; our default.")


class DeduplicateConfig(dg.Config):
    """`internlm2/code/deduplicated`: the paper's settings for text, over tokens of code."""

    n_hashes: int = Field(128, gt=0, description="MinHash functions (paper, §3.1.1).")
    ngram: int = Field(5, gt=0, description="Tokens of a shingle (paper, §3.1.1).")
    bands: int = Field(16, gt=0, description="Bands of locality-sensitive hashing; our default.")
    threshold: float = Field(0.7, gt=0, le=1, description="Least estimated Jaccard similarity (paper, §3.1.1).")


class LabelsConfig(dg.Config):
    """`internlm2/code/labels`: files that people judged."""

    path: str = Field(
        default_factory=lambda: os.environ.get("ATHANOR_CODE_LABELS", ""),
        description="JSON lines or Parquet with `text`, `language` and `label` (high, moderate or low): file, folder, "
        "glob, fsspec URL, or `hub:owner/name`. Default: the variable ATHANOR_CODE_LABELS; empty: rules alone score.",
    )
    heldout_share: float = Field(
        0.2, gt=0, lt=1, description="Share of the labels, by hash, on which the scorer is compared with people."
    )


class RulesConfig(dg.Config):
    """Rules of `internlm2/code/scored`. The paper gives none: the limits are those usual for public code corpora."""

    max_line: int = Field(1_000, gt=0, description="A longer line is of data or minified code. Characters.")
    max_mean_line: float = Field(100.0, gt=0, description="Of the lines' mean length. Characters.")
    min_alphanumeric: float = Field(0.25, ge=0, le=1, description="Share of letters and digits.")
    max_data: float = Field(0.8, gt=0, le=1, description="Share of the lines without a word outside quotes.")
    full_comment_share: float = Field(0.1, gt=0, lt=1, description="Share of comment lines that scores in full.")
    max_comment_share: float = Field(0.8, gt=0, le=1, description="Share of comment lines from which code scores 0.")
    parses: bool = Field(True, description="Drop Python that this Python cannot parse.")


class ScoreConfig(RulesConfig):
    """`internlm2/code/scored`."""

    high_share: float = Field(
        0.168, ge=0, lt=1, description="Share of a language's bytes in class high: 105.6 GB (paper, §3.1.2)."
    )
    low_share: float = Field(
        0.133, ge=0, lt=1, description="Share of a language's bytes in class low, dropped: 83.85 GB (paper, §3.1.2)."
    )
    low_resource_share: float = Field(
        0.01, ge=0, lt=1, description="Languages with a smaller share of the bytes lose no file by its score; ours."
    )
    min_agreement: float = Field(
        0.6,
        ge=-1,
        le=1,
        description="Cohen's kappa with the held-out labels of a language from which the model scores it; ours.",
    )
    min_heldout: int = Field(50, gt=0, description="With fewer held-out labels a language is left to the rules; ours.")

    @model_validator(mode="after")
    def _shares(self) -> ScoreConfig:
        if self.high_share + self.low_share > 1:
            raise ValueError("high_share and low_share together are at most 1")
        return self


class RepositoriesConfig(dg.Config):
    """`internlm2/code/repositories`."""

    high_repeats: int = Field(
        2,
        ge=1,
        description="How often a repository is seen that is mostly of class high (paper: repeated; not how often).",
    )


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    files: FilesConfig
    deduplicate: DeduplicateConfig
    labels: LabelsConfig
    score: ScoreConfig
    repositories: RepositoriesConfig


TINY = Config(FilesConfig(), DeduplicateConfig(), LabelsConfig(), ScoreConfig(), RepositoriesConfig())
# The published values are the defaults; what the paper labels by people needs labels of one's own.
PAPER = TINY
