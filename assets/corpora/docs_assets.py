"""Asset of the documentation that is installed on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from assets.core.ids import content_id
from assets.core.lake import DatasetWriter
from assets.core.progress import track
from assets.core.recipe import recipe
from assets.core.rows import RowsResource
from assets.corpora.docs_config import InstalledDocsConfig
from assets.corpora.installed_docs import DocFile, doc_files, inventory, read_docs

FILES_AT_ONCE = 100
FAILURES = ("not_python", "unreadable")


def files_of(config: InstalledDocsConfig) -> list[DocFile]:
    man, documents = (Path(folder) if folder else None for folder in (config.man_folder, config.doc_folder))
    return list(doc_files(config.packages, man, config.man_sections, documents))


def documentation_files(config: InstalledDocsConfig) -> Mapping[str, Any]:
    """Python's version and digests of all that is read."""
    return inventory(files_of(config))


@recipe("corpora/installed_docs", external=documentation_files, resources=("rows",), tags={"stage": "input"})
def installed_docs(out: DatasetWriter, config: InstalledDocsConfig, rows: RowsResource) -> None:
    """Installed documentation: docstrings of the standard library and of packages, READMEs, man pages, text files."""
    files = files_of(config)
    batches = (frame(files[start : start + FILES_AT_ONCE]) for start in range(0, len(files), FILES_AT_ONCE))
    seen: set[str] = set()
    for read in track(
        rows.map(partial(read_docs, max_bytes=config.max_file_bytes), batches),
        label="installed documentation", total=-(-len(files) // FILES_AT_ONCE), unit=" batches",
    ):  # fmt: skip
        out.ledger.rows_in += read.height
        out.write(kept(out, read, seen))


def frame(files: list[DocFile]) -> pl.DataFrame:
    return pl.DataFrame(files, schema=list(DocFile._fields), orient="row")


def kept(out: DatasetWriter, read: pl.DataFrame, seen: set[str]) -> pl.DataFrame:
    """The documents; what could not be read goes to the dead letters, what has no text or repeats another is counted.

    `seen` are the ids of the texts so far, and grows.
    """
    chosen = []
    for place, (problem, module, text) in enumerate(read.select("problem", "module", "text").iter_rows()):
        name = content_id(text)
        if problem in FAILURES:
            out.dead_letter(file=module, line=None, reason=problem, detail="no documentation could be read from it")
        elif problem or name in seen:
            out.ledger.drop(problem or "duplicate")
        else:
            seen.add(name)
            chosen.append(place)
    return read[chosen].drop("problem")
