"""`python -m models.training RUN.json`: trains what a file describes; the same command under torchrun.

Exit codes: 0 trained, 1 refused or failed (one line and the remedy on stderr), 143 ended by SIGTERM or SIGINT after
saving.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from models.training.parent import end_with_parent

# Before torch is loaded: threads that wait by spinning slow each other down as soon as another program uses a core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@click.command(help="Train what the file RUN describes, or go on with it.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check everything and say what would be done.")
@click.option("--hostfile", type=click.Path(path_type=Path), help="Print what starts it on a hostfile's machines.")
def main(run: Path, dry_run: bool, hostfile: Path | None) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    stop_on_interrupt()
    if "TORCHELASTIC_RUN_ID" in os.environ:  # of a killed torchrun nothing would be left to end this process
        end_with_parent()
    if hostfile:
        sys.exit(show_launch(run, hostfile))
    sys.exit(tell(run) if dry_run else train_and_show(run))


def tell(path: Path) -> int:
    """Print what a run is going to do."""
    from models.training.faults import told
    from models.training.run import check
    from models.training.run_description import read_description

    with told() as outcome:
        facts = check(read_description(path))
        click.echo(f"steps        {facts.steps:,}")
        click.echo(f"tokens       {facts.tokens:,}")
        click.echo(f"parameters   {facts.parameters:,} ({facts.trained_parameters:,} trained)")
        click.echo(f"processes    {facts.processes}")
        click.echo(f"memory       about {facts.memory_bytes / 2**20:,.0f} MiB a process")
        click.echo(f"starts at    step {facts.resumes_from or 0}")
    return outcome.code


def show_launch(path: Path, hosts: Path) -> int:
    """Print the shell lines that start a run on several machines."""
    from models.training.faults import told
    from models.training.launch import hostfile_commands, read_hostfile, ssh_commands

    with told() as outcome:
        commands = hostfile_commands(path.resolve(), read_hostfile(hosts.read_text()), python=sys.executable)
        click.echo("\n".join(ssh_commands(commands, Path.cwd())))
    return outcome.code


def train_and_show(path: Path) -> int:
    """Train with a progress bar in the process of rank 0."""
    from tqdm import tqdm

    from models.training.faults import told
    from models.training.plan import StepRecord
    from models.training.processes import is_first
    from models.training.run import run
    from models.training.run_description import read_description

    with told() as outcome:
        description = read_description(path)
        total = description.plan.steps
        with tqdm(total=total, unit=" steps", file=sys.stderr, disable=not is_first(), dynamic_ncols=True) as bar:

            def show(record: StepRecord) -> None:
                bar.set_postfix_str(f"loss {record.loss:.3f}, {record.tokens_per_second:,.0f} tokens/s", refresh=False)
                bar.update(record.step + 1 - bar.n)

            report = run(description, show)
        if is_first():
            click.echo(f"trained {report.steps:,} steps, last loss {report.losses[-1]:.4f}: {description.output}")
    return outcome.code


def stop_on_interrupt() -> None:
    """The first Ctrl-C ends the run like SIGTERM, after saving; a second one ends it at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    main()
