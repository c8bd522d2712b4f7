"""The commands behind the Makefile's targets."""

from __future__ import annotations

import atexit
import os
import sys
import time
from pathlib import Path

import click
import yaml

from assets.core.errors import AthanorError, InputError
from assets.core.home import Home


@click.group(help="Athanor: the LLM research stack as a Dagster asset graph.")
def cli() -> None: ...


@cli.command()
@click.option("--seed", default="0", show_default=True, help="Partition of the seeds to run.")
@click.option("--config", type=click.Path(exists=True), help="YAML run configuration; see `athanor preset`.")
def demo(seed: str, config: str | None) -> None:
    """Run the main job `quickstart` and show what was built."""
    started = time.monotonic()
    from orchestration.demo import announce, summarise
    from orchestration.runs import run_job, show_progress

    settings = yaml.safe_load(Path(config).read_text()) if config else None
    announce()
    show_progress()
    built = run_job("quickstart", partition=seed, config=settings)
    summarise(built)
    reused = sum(asset.reused for asset in built)
    click.echo(f"demo: ok, {len(built)} assets, {reused} reused, {time.monotonic() - started:.0f} s")


@cli.command()
@click.argument("folder", default="")
@click.option(
    "--config", type=click.Path(exists=True), help="YAML run configuration; see `athanor preset --job crawl`."
)
def crawl(folder: str, config: str | None) -> None:
    """Make training text of the crawl in FOLDER (default: $ATHANOR_CRAWL, else a generated one)."""
    started = time.monotonic()
    from orchestration.crawl_command import announce, crawl_folder, summarise
    from orchestration.runs import show_progress

    announce(folder)
    show_progress()
    settings = yaml.safe_load(Path(config).read_text()) if config else {}
    built = crawl_folder(folder, settings)
    summarise()
    reused = sum(asset.reused for asset in built)
    click.echo(f"crawl: ok, {len(built)} assets, {reused} reused, {time.monotonic() - started:.0f} s")


@cli.command()
@click.argument("system")
@click.option("--seeds", default=5, show_default=True, help="Seeds 0 to this many, not included.")
def claims(system: str, seeds: int) -> None:
    """Measure a system's claims and print the table."""
    from orchestration.measure import measure

    measure(system, seeds)


@cli.command()
def digests() -> None:
    """Print key, partition, rows and content digest of every published dataset and checkpoint."""
    from assets.core.lake import Lake

    home = Home.from_environment()
    for dataset in Lake(home.lake, home.work).datasets():
        manifest = dataset.manifest
        click.echo(f"{manifest.key}\t{manifest.partition or '-'}\t{manifest.rows}\t{manifest.digest()}")


@cli.command()
@click.option("--dagster-port", default=3000, show_default=True)
@click.option("--mlflow-port", default=5000, show_default=True)
def ui(dagster_port: int, mlflow_port: int) -> None:
    """Start Dagster and MLflow on localhost, until Ctrl-C."""
    from orchestration.ui import serve

    serve(dagster_port, mlflow_port)


@cli.command()
@click.argument("name", default="tiny")
@click.option("--job", default="quickstart", show_default=True, help="The job to configure.")
def preset(name: str, job: str) -> None:
    """Print a preset (tiny, paper) as YAML run configuration of a job."""
    from orchestration.presets import PRESETS, SECTIONS, run_config

    if name not in PRESETS:
        raise InputError(f"no preset {name!r}", f"choose from: {', '.join(PRESETS)}")
    if job not in SECTIONS:
        raise InputError(f"no preset for the job {job!r}", f"choose from: {', '.join(SECTIONS)}")
    click.echo(yaml.safe_dump(run_config(PRESETS[name], job), sort_keys=False))


@cli.command()
def prepare() -> None:
    """Parse the dbt project for the code location: part of the set-up, seconds when something changed."""
    from orchestration.dbt import prepare_manifest

    prepare_manifest()


def end_silently() -> None:
    """Registered first, so run last: libraries that complain while the interpreter is taken down (duckdb's bindings
    beside torch's do) would write below the result."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def main() -> None:
    """Run a command; a known fault is one line and its remedy, not a traceback."""
    from orchestration.runs import RunFailed

    atexit.register(end_silently)
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit("interrupted: start again to resume")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (AthanorError, RunFailed) as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        extras = "cluster (Ray, Kubernetes, Postgres), embedders (sentence-transformers) or gpu (deepspeed, vllm)"
        sys.exit(f"error: {error}\n  → .venv/bin/pip install -c constraints.txt -e '.[EXTRA]', EXTRA being {extras}")
