"""A repository's files as one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from assets.core.ids import content_id
from assets.internlm2.code.classes import HIGH
from assets.internlm2.code.markdown import repository_markdown
from assets.internlm2.code.order import order_files
from assets.internlm2.code.resolve import dependencies


def by_repository(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The files of one repository after the other. They follow each other in the batches, so one is held at a time."""
    held: list[pl.DataFrame] = []
    for batch in batches:
        for (repo,), group in batch.group_by("repo", maintain_order=True):
            if held and held[0]["repo"][0] != repo:
                yield pl.concat(held)
                held = []
            held.append(group)
    if held:
        yield pl.concat(held)


def repository_row(files: pl.DataFrame, high_repeats: int) -> dict[str, Any]:
    """A row of REPOSITORY_SCHEMA from the files of one repository, in whatever order they come.

    `repeats` is `high_repeats` where most of the code's bytes are of class high, else 1.
    """
    found = {
        path: (name, language, kind, text)
        for name, path, language, kind, text in files.select("id", "path", "language", "kind", "text").iter_rows()
    }
    code = {path: (language, text) for path, (_, language, kind, text) in found.items() if kind == "code"}
    ordered = order_files(dependencies(code), (path for path in found if path not in code))
    repo = files["repo"][0]
    markdown = repository_markdown(repo, ((path, *found[path][1:]) for path in ordered))
    parents = [found[path][0] for path in ordered]
    of_code = files.filter(pl.col("kind") == "code")
    high = int(of_code.filter(pl.col("quality") == HIGH)["n_bytes"].sum())
    return {
        "id": content_id("repository", repo, *parents),
        "parents": parents,
        "repo": repo,
        "files_in_order": ordered,
        "repeats": high_repeats if 2 * high > int(of_code["n_bytes"].sum()) else 1,
        "markdown": markdown,
        "n_bytes": len(markdown.encode()),
    }
