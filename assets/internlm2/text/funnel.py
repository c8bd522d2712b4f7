"""The funnel: how many documents each stage met, dropped and kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A stage over all crawl files: rows in = kept + failed + dropped by reason."""

    name: str
    rows_in: int
    kept: int
    dropped: Mapping[str, int]
    """By reason, the most frequent first; failed rows are the reason `failed`."""


def funnel(ledgers: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Stage]:
    """The stages, in order, from the row ledgers of their crawl files."""
    return [_stage(name, list(found)) for name, found in ledgers.items()]


def _stage(name: str, ledgers: list[Mapping[str, Any]]) -> Stage:
    dropped: Counter[str] = Counter()
    for ledger in ledgers:
        dropped.update(ledger["dropped"])
        dropped["failed"] += ledger["failed"]
    ordered = sorted(((rows, reason) for reason, rows in dropped.items() if rows), key=lambda pair: (-pair[0], pair[1]))
    return Stage(
        name,
        rows_in=sum(ledger["rows_in"] for ledger in ledgers),
        kept=sum(ledger["rows_out"] for ledger in ledgers),
        dropped={reason: rows for rows, reason in ordered},
    )


def leaks(stages: list[Stage]) -> list[str]:
    """Where rows are lost or appear: within a stage, and between a stage and the next."""
    found = [
        f"{stage.name}: {stage.rows_in} in, {stage.kept} kept, {sum(stage.dropped.values())} dropped"
        for stage in stages
        if stage.rows_in != stage.kept + sum(stage.dropped.values())
    ]
    return found + [
        f"{before.name} kept {before.kept}, {after.name} met {after.rows_in}"
        for before, after in pairwise(stages)
        if before.kept != after.rows_in
    ]


def table(stages: list[Stage]) -> str:
    """The funnel as Markdown."""
    lines = ["| stage | in | kept | dropped, by reason |", "| --- | --: | --: | --- |"]
    for stage in stages:
        reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in stage.dropped.items())
        lines.append(f"| {stage.name} | {stage.rows_in:,} | {stage.kept:,} | {reasons} |")
    return "\n".join(lines)
