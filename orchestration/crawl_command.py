"""`athanor crawl`: all that a folder of crawl files needs done, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

from assets.core.home import Home
from assets.core.lake import Lake
from assets.corpora.crawl.config import CrawlConfig
from orchestration.crawl import AFTER, BEFORE, DOCUMENTS, config_of, files_of, part_of, stale, sync
from orchestration.instance import open_instance
from orchestration.runs import Built, RunFailed, run_job

PAGES = "corpora__pages"


def announce(folder: str) -> None:
    source = folder or os.environ.get("ATHANOR_CRAWL") or "a generated crawl with planted defects"
    click.echo(f"crawl: {source} → pages → rules → near-duplicates → safety → quality → documents")


def crawl_folder(folder: str, configuration: Mapping[str, Any]) -> list[Built]:
    """Every job of a crawl, for the files that need it.

    Raises InputError for a folder that cannot be read and RunFailed for a job that fails; where it failed for a file,
    the others are done first. The same command goes on from there.
    """
    if folder:
        configuration = _reading(folder, configuration)
    home = Home.from_environment()
    lake = Lake(home.lake, home.work)
    built = _run("crawl_start", configuration)
    with open_instance(home) as instance:
        pages = config_of(BEFORE["corpora/pages"], configuration)
        assert isinstance(pages, CrawlConfig)
        came = sync(instance, files_of(pages, lake))
        click.echo(f"{len(came.added)} crawl files are new, {len(came.removed)} have left", err=True)
        built += _each_file("crawl_pages", configuration, stale(BEFORE, lake, instance, configuration))
        built += _run("crawl_duplicates", configuration)
        built += _each_file("crawl_text", configuration, stale(AFTER, lake, instance, configuration))
    return built + _run("crawl_documents", configuration)


def _reading(folder: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with this folder, whatever it says of another."""
    ops = dict(configuration.get("ops", {}))
    section = ops.get(PAGES, {}).get("config", {})
    return {**configuration, "ops": {**ops, PAGES: {"config": {**section, "folder": folder}}}}


def _each_file(job: str, configuration: Mapping[str, Any], names: Sequence[str]) -> list[Built]:
    built: list[Built] = []
    failed: list[str] = []
    for name in names:
        try:
            built += _run(job, configuration, name)
        except RunFailed as error:
            failed.append(str(error))
    if failed:
        others = f"\n(the first of {len(failed)} files that failed; the others are done)" if len(names) > 1 else ""
        raise RunFailed(failed[0] + others)
    return built


def _run(job: str, configuration: Mapping[str, Any], partition: str | None = None) -> list[Built]:
    return run_job(job, partition=partition, config=part_of(configuration, job))


def summarise() -> None:
    """The funnel, and where to look."""
    from rich.console import Console
    from rich.markdown import Markdown

    home = Home.from_environment()
    documents = Lake(home.lake, home.work).get(DOCUMENTS)
    console = Console(width=None if os.isatty(1) else 140)
    console.print(Markdown(str(documents.manifest.metadata["funnel"])))
    console.print(f"{documents.rows:,} documents in internlm2/text/documents; files: {home.root}", soft_wrap=True)
    console.print("pages: `make ui` starts Dagster (http://127.0.0.1:3000) and MLflow (http://127.0.0.1:5000)")
