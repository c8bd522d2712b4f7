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


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    library: LibraryConfig
    files: FilesConfig
    documents: DocumentsConfig
    clean: CleanConfig


TINY = Config(LibraryConfig(), FilesConfig(), DocumentsConfig(), CleanConfig())
PAPER = Config(LibraryConfig(), FilesConfig(), DocumentsConfig(), CleanConfig(sample_bytes=0))
