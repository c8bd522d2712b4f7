"""Configuration of the corpora."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field


class LibraryConfig(dg.Config):
    """`corpora/python_library`."""

    max_class_bytes: int = Field(
        4096, gt=0, description="A class above this is split into its methods, a help topic between paragraphs. Bytes."
    )


class FilesConfig(dg.Config):
    """`corpora/files`: the user's own data."""

    path: str = Field(
        default_factory=lambda: os.environ.get("ATHANOR_CORPUS", ""),
        description="File, folder, glob, fsspec URL, or `hub:owner/name`. Default: the variable ATHANOR_CORPUS; "
        "empty: no files of one's own, and the Python library is the corpus.",
    )
    text_field: str = Field("text", description="Column or key that holds the text.")
    id_field: str = Field("", description="Column or key with ids that must not repeat; empty: ids from the content.")
    max_row_bytes: int = Field(10_000_000, gt=0, description="A longer row goes to the dead letters. Bytes.")


class DocumentsConfig(dg.Config):
    """`corpora/documents`."""

    source: Literal["auto", "python_library", "files", "both"] = Field(
        "auto",
        description="Which corpora are unified; auto: the user's files where there are any, else the library.",
    )


class CleanConfig(dg.Config):
    """`corpora/clean_documents`."""

    min_bytes: int = Field(100, ge=0, description="Shorter documents are dropped. Bytes of UTF-8; our default.")
    max_control_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Documents with a larger share of control characters are not text; our default.",
    )
    sample_bytes: int = Field(
        3_500_000,
        ge=0,
        description="About how many bytes of documents are kept, chosen by a hash of their id; 0 keeps all. "
        "The default makes the main job fit a laptop.",
    )


class QuestionsConfig(dg.Config):
    """`corpora/questions`: the user's own problems with known answers. Shares are our defaults."""

    path: str = Field(
        default_factory=lambda: os.environ.get("ATHANOR_QUESTIONS", ""),
        description="JSON lines, JSON array or Parquet: file, folder, glob, fsspec URL, or `hub:owner/name`. Default: "
        "the variable ATHANOR_QUESTIONS; empty: no questions of one's own, and ChainArith's are the problems.",
    )
    hub_split: str = Field("train", description="Split of a hub dataset; also its name for `split_by`.")
    hub_subset: str = Field("", description="Subset of a hub dataset that has some, such as GSM8K's `main`.")
    revision: str = Field("", description="Commit or branch of a hub dataset; empty: its newest.")
    question_field: str = Field(
        "",
        description="Field of the question. Empty: all fields are recognised by their names (GSM8K, MATH, OREAL's "
        "prompts, SVAMP, or `question` and `answer`), and the other field settings do not count.",
    )
    answer_field: str = Field(
        "", description="Field of the answer; empty: taken from the solution, behind `####` or in the last box."
    )
    solution_field: str = Field("", description="Field of the worked solution; empty: there is none.")
    skill_field: str = Field("", description="Field of the subject or type; empty: there is none.")
    difficulty_field: str = Field("", description="Field of the level; empty: the number of the solution's lines.")
    split_by: Literal["name", "hash"] = Field(
        "name",
        description="name: a file called test or valid is that split, one called train is shared out for training, and "
        "any other for everything; hash: all are shared out for everything.",
    )
    share_rl: float = Field(0.3, ge=0, le=1, description="Share of reinforcement learning; sft has what is left.")
    share_search: float = Field(0.05, ge=0, le=1, description="Share of tree search.")
    share_valid: float = Field(0.05, ge=0, le=1, description="Share of validation.")
    share_test: float = Field(0.1, ge=0, le=1, description="Share of the test.")
    max_row_bytes: int = Field(1_000_000, gt=0, description="A longer line goes to the dead letters. Bytes.")


class ProblemsConfig(dg.Config):
    """`corpora/problems`."""

    source: Literal["auto", "questions", "chain_arith"] = Field(
        "auto", description="Whose problems; auto: the user's questions where there are any, else ChainArith's."
    )


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    library: LibraryConfig
    files: FilesConfig
    documents: DocumentsConfig
    clean: CleanConfig
    questions: QuestionsConfig
    problems: ProblemsConfig


TINY = Config(LibraryConfig(), FilesConfig(), DocumentsConfig(), CleanConfig(), QuestionsConfig(), ProblemsConfig())
PAPER = Config(
    LibraryConfig(),
    FilesConfig(),
    DocumentsConfig(),
    CleanConfig(sample_bytes=0),
    QuestionsConfig(),
    ProblemsConfig(),
)
