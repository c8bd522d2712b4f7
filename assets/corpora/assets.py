"""Assets of the corpora: what is read, unified and cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import CHEAP, Input, recipe
from assets.corpora.clean import Cleaner
from assets.corpora.config import CleanConfig, DocumentsConfig, FilesConfig, LibraryConfig
from assets.corpora.files import FileSource, read_files
from assets.corpora.files import inventory as files_inventory
from assets.corpora.python_library import inventory as library_inventory
from assets.corpora.python_library import read_python_library
from assets.corpora.schema import Document, Reject, documents_frame

BATCH_DOCUMENTS = 5_000


def write_documents(out: DatasetWriter, rows: Iterable[Document | Reject]) -> None:
    """Write documents in batches, rejects to the dead letters, and count both."""
    batch: list[Document] = []
    for row in rows:
        out.ledger.rows_in += 1
        if isinstance(row, Reject):
            out.dead_letter(file=row.file, line=row.line, reason=row.reason, detail=row.detail)
            continue
        batch.append(row)
        if len(batch) == BATCH_DOCUMENTS:
            out.write(documents_frame(batch))
            batch = []
    if batch or not out.columns:
        out.write(documents_frame(batch))


def library_files(config: LibraryConfig) -> Mapping[str, Any]:
    """The interpreter's version and the digest of its library."""
    return asdict(library_inventory())


@recipe("corpora/python_library", external=library_files, tags={"stage": "input"})
def python_library(out: DatasetWriter, config: LibraryConfig) -> None:
    """Text and code that every Python carries: help topics, docstrings, functions and classes."""
    rows = read_python_library(config.max_class_bytes)
    write_documents(out, track(rows, label="standard library", unit=" units"))


def file_source(config: FilesConfig) -> FileSource:
    return FileSource(
        path=config.path,
        text_field=config.text_field,
        id_field=config.id_field or None,
        max_row_bytes=config.max_row_bytes,
    )


def user_files(config: FilesConfig) -> Mapping[str, Any]:
    """Names and digests of the user's files, so that a changed file rebuilds what is downstream."""
    return {"files": files_inventory(file_source(config))} if config.path else {}


@recipe("corpora/files", external=user_files, tags={"stage": "input"})
def files(out: DatasetWriter, config: FilesConfig) -> None:
    """The user's own documents: JSONL, Parquet, text, a Hugging Face dataset; empty unless a path is given."""
    rows: Iterator[Document | Reject] = read_files(file_source(config)) if config.path else iter(())
    write_documents(out, track(rows, label=config.path or "no files", unit=" rows"))


@recipe(
    "corpora/documents",
    inputs={"python_library": Input("corpora/python_library"), "files": Input("corpora/files")},
    tags={"stage": "input"},
    automation=CHEAP,
)
def documents(out: DatasetWriter, config: DocumentsConfig, python_library: Dataset, files: Dataset) -> None:
    """All documents under one schema: the user's where there are any, else the Python library."""
    wanted = config.source
    if wanted == "auto":
        wanted = "files" if files.rows else "python_library"
    chosen = {"python_library": [python_library], "files": [files], "both": [python_library, files]}[wanted]
    for dataset in chosen:
        for batch in dataset.batches():
            out.ledger.rows_in += batch.height
            out.write(batch)
    out.describe(source=wanted)


@recipe(
    "corpora/clean_documents",
    inputs={"documents": Input("corpora/documents")},
    tags={"stage": "clean"},
    automation=CHEAP,
)
def clean_documents(out: DatasetWriter, config: CleanConfig, documents: Dataset) -> None:
    """Documents worth training on: no exact duplicates, no short ones, no binary; each drop counted by reason."""
    total = int(documents.read("n_bytes")["n_bytes"].sum())
    share = min(1.0, config.sample_bytes / total) if config.sample_bytes and total else 1.0
    cleaner = Cleaner(min_bytes=config.min_bytes, max_control_share=config.max_control_share, sample_share=share)
    for batch in documents.batches():
        out.ledger.rows_in += batch.height
        kept, dropped = cleaner.clean(batch)
        for reason, rows in dropped.items():
            out.ledger.drop(reason, rows)
        out.write(kept)
    out.describe(sample_share=round(share, 4))
