"""What `make demo` says before and after the main job."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from assets.claims.claim import markdown_table
from assets.core.home import Home
from assets.core.lake import Lake
from orchestration.runs import Built

if TYPE_CHECKING:
    from rich.console import Console


def announce() -> None:
    corpus = os.environ.get("ATHANOR_CORPUS") or "the text and code of Python's standard library"
    click.echo(f"quickstart: {corpus} → clusters → sampling plans → small decoders → scores → registered champion")
    click.echo("            problems → a fine-tuned policy → rollouts, verdicts, updates → a better policy → champion")


def summarise(built: list[Built]) -> None:
    """A table of what was built, scores, claims, and where to look."""
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table

    home = Home.from_environment()
    lake = Lake(home.lake, home.work)
    console = Console(width=None if os.isatty(1) else 140)
    table = Table(box=None, pad_edge=False)
    for column in ("asset", "partition", "rows", "seconds", "", "digest"):
        table.add_column(column, justify="right" if column in ("rows", "seconds") else "left")
    for asset in built:
        rows = "" if asset.rows is None else f"{asset.rows:,}"
        state = "reused" if asset.reused else "built"
        table.add_row(asset.asset, asset.partition, rows, f"{asset.seconds:.1f}", state, asset.digest[:12])
    console.print(table)
    _scores(console)
    claims = lake.current("claims/clusterclip")
    if claims is not None and claims.rows:
        console.print(Markdown(markdown_table(claims.read())))
    champion = lake.current("clusterclip/champion")
    if champion is not None:
        console.print(f"champion: {champion.manifest.metadata['decision']}")
    _outcomes(console, lake)
    console.print(f"files: {home.root}", soft_wrap=True)
    console.print("pages: `make ui` starts Dagster (http://127.0.0.1:3000) and MLflow (http://127.0.0.1:5000)")


def _outcomes(console: Console, lake: Lake) -> None:
    """What reinforcement learning from outcomes changed."""
    champion = lake.current("oreal/champion")
    if champion is None:
        return
    told = champion.manifest.metadata
    percent = {name: [f"{100 * value:.1f}" for value in told[name]] for name in ("before", "after", "gain")}
    before, after, gain = (f"{value} [{low}, {high}]" for value, low, high in percent.values())
    console.print(
        f"greedy accuracy on {told['problems']} unseen problems, in percent: before OREAL {before}, after {after}"
    )
    console.print(f"gain {gain} percentage points (95 % intervals); champion: {told['decision']}", soft_wrap=True)


def _scores(console: Console) -> None:
    import duckdb
    from rich.table import Table

    warehouse = Home.from_environment().warehouse
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.sql(
            "select plan, macro_cluster_bpb, macro_package_bpb, micro_bpb, worst_quartile_bpb, rare_cluster_gap, "
            "n_seeds from marts.leaderboard"
        )
        table = Table(*found.columns, box=None, pad_edge=False, title="held-out bits per byte, lower is better")
        for row in found.fetchall():
            table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
    console.print(table)
