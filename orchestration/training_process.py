"""What Dagster starts to train in processes of its own; without Dagster it trains like `python -m models.training`.

    python -m orchestration.training_process RUN.json --processes 8

The process of rank 0 reports every step through Dagster Pipes; Dagster forwards them to the asset while it waits.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click
from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

from models.training.parent import end_with_parent

MODULE = "orchestration.training_process"
STEPS_BETWEEN_LINES, SECONDS_BETWEEN_LINES = 10, 5.0


@click.command(help="Train what the file RUN describes, reporting to Dagster when it started this.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--processes", default=1, show_default=True, help="Processes per machine.")
@click.option("--nodes", default=1, show_default=True, help="Machines of the Ray cluster this runs in.")
@click.option("--gpus", is_flag=True, help="Processes need a GPU each.")
def main(run: Path, processes: int, nodes: int, gpus: bool) -> None:
    end_with_parent()
    if nodes > 1:
        from models.training.ray_nodes import launch

        pipes = {name: value for name, value in os.environ.items() if name.startswith("DAGSTER_PIPES_")}
        sys.exit(launch(run.resolve(), nodes, processes, gpus=gpus, module=MODULE, variables=pipes))
    if processes > 1:
        from models.training.launch import torchrun_command

        command = torchrun_command(run, processes, python=sys.executable, module=MODULE)
        os.execv(command[0], command)
    from models.training.__main__ import stop_on_interrupt, train_and_show
    from models.training.processes import is_first

    stop_on_interrupt()
    reporting = is_first() and PipesEnvVarParamsLoader().is_dagster_pipes_process()
    sys.exit(train_and_report(run) if reporting else train_and_show(run))


def train_and_report(path: Path) -> int:
    """Train, telling Dagster every step, and a known fault as what it is."""
    from models.training.faults import told
    from models.training.plan import StepRecord
    from models.training.run import run
    from models.training.run_description import read_description

    with open_dagster_pipes() as pipes:
        with told() as outcome:
            description = read_description(path)
            total, due = description.plan.steps, 0.0

            def report(record: StepRecord) -> None:
                nonlocal due
                pipes.report_custom_message({"step": asdict(record)})
                done = record.step + 1
                if done == total or not due or (done % STEPS_BETWEEN_LINES == 0 and time.monotonic() >= due):
                    due = time.monotonic() + SECONDS_BETWEEN_LINES
                    speed = f"{record.tokens_per_second:,.0f} tokens/s"
                    pipes.log.info(f"step {done:,} of {total:,}: loss {record.loss:.4f}, {speed}")

            run(description, report)
        if outcome.error:
            kinds = [kind.__name__ for kind in type(outcome.error).__mro__]
            message = outcome.message.removeprefix("error: ")
            pipes.report_custom_message({"fault": {"kinds": kinds, "message": message}})
    return outcome.code


if __name__ == "__main__":
    main()
