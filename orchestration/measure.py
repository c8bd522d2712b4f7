"""`make claims`: every arm for enough seeds, then the claims."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import click

from assets.claims.claim import markdown_table
from assets.core.errors import InputError
from assets.core.home import Home
from assets.core.lake import Lake
from orchestration.jobs import ARMS, CLAIMS
from orchestration.runs import run_job, show_progress


def measure(system: str, seeds: int) -> None:
    """Run the arms, as many seeds at a time as there are cores (what is there is reused); then print the claims."""
    if system not in ARMS:
        raise InputError(f"no claims of {system!r}", f"choose from: {', '.join(ARMS)}")
    show_progress()
    # What all seeds share is built by the first that comes to it; the others wait for it.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn, initializer=show_progress) as pool:
        list(pool.map(_arms_of_seed, [system] * seeds, range(seeds)))
    run_job(CLAIMS[system].name)
    home = Home.from_environment()
    claims = Lake(home.lake, home.work).get(f"claims/{system}").read()
    click.echo(markdown_table(claims))
    click.echo(", ".join(f"{verdict}: {count}" for verdict, count in sorted(claims["verdict"].value_counts().rows())))


def _arms_of_seed(system: str, seed: int) -> None:
    run_job(ARMS[system].name, partition=str(seed))
