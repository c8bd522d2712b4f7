"""`make claims`: every arm for enough seeds, then the claims."""

from __future__ import annotations

import click

from assets.claims.claim import markdown_table
from assets.core.errors import InputError
from assets.core.home import Home
from assets.core.lake import Lake
from orchestration.runs import run_job, show_progress

# For each system: the job that makes its arms for one seed.
ARMS = {"clusterclip": "clusterclip_arms"}


def measure(system: str, seeds: int) -> None:
    """Run the arms seed by seed (what is there is reused), then publish and print the claims."""
    if system not in ARMS:
        raise InputError(f"no claims of {system!r}", f"choose from: {', '.join(ARMS)}")
    show_progress()
    for seed in range(seeds):
        run_job(ARMS[system], partition=str(seed))
    run_job("claims")
    home = Home.from_environment()
    claims = Lake(home.lake, home.work).get(f"claims/{system}")
    click.echo(markdown_table(claims.read()))
    for reason in ("reproduced", "not_reproduced", "inconclusive"):
        click.echo(f"{reason}: {claims.read().filter(verdict=reason).height}")
