"""A run on several machines of a Ray cluster: one torchrun per machine, placed and watched by Ray.

Meant as the entry point of a Ray job (`ray job submit -- python -m models.training.ray_nodes RUN.json --nodes 2`).
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import click

from models.training.launch import MODULE, STOP_SECONDS, torchrun_command
from models.training.parent import end_with_parent

WAIT_SECONDS = 600.0
POLL_SECONDS = 0.2
FAILED = 1


@click.command(help="Train what the file RUN describes on several machines of the Ray cluster.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--nodes", default=1, show_default=True, help="Machines.")
@click.option("--processes", default=1, show_default=True, help="Processes per machine.")
@click.option("--gpus", is_flag=True, help="Reserve a GPU for each process; otherwise a CPU.")
def main(run: Path, nodes: int, processes: int, gpus: bool) -> None:
    sys.exit(launch(run, nodes, processes, gpus=gpus))


def launch(
    description: Path,
    nodes: int,
    processes: int,
    *,
    gpus: bool,
    module: str = MODULE,
    variables: Mapping[str, str] | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> int:
    """Starts torchrun on `nodes` machines and waits for all; 0, or the exit code of the first that failed.

    `variables` are added to the processes' environment. SIGTERM and SIGINT are passed on, so that the run is saved.
    Answers 1, having said why, when the cluster offers no such machines within `wait_seconds`.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    ray.init(log_to_driver=True, logging_level=logging.WARNING, ignore_reinit_error=True)
    needs = {"CPU": float(processes)} | ({"GPU": float(processes)} if gpus else {})
    group = placement_group([needs] * nodes, strategy="STRICT_SPREAD")
    try:
        if not group.wait(wait_seconds):
            has = ", ".join(f"{node['NodeManagerAddress']} {node['Resources']}" for node in ray.nodes())
            print(
                f"error: {nodes} machines with {needs} each were not free within {wait_seconds:.0f} s; the cluster "
                f"has {has}: add machines, or ask for fewer nodes or processes",
                file=sys.stderr,
            )
            return FAILED

        def on(index: int, function: Any) -> Any:
            place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index)
            return ray.remote(
                num_cpus=processes, num_gpus=processes if gpus else 0, scheduling_strategy=place, max_retries=0
            )(function)

        head, port = ray.get(on(0, _meeting_place).remote())
        tasks = []
        for rank in range(nodes):
            command = torchrun_command(
                description, processes, nodes=nodes, node_rank=rank, head=head, port=port, python=sys.executable,
                module=module,
            )  # fmt: skip
            tasks.append(on(rank, _run).remote(command, dict(variables or {}), os.getcwd()))
        return _wait(tasks)
    finally:
        remove_placement_group(group)


def _wait(tasks: list[Any]) -> int:
    """The first exit code that is not 0. When a machine fails, or the driver is told to end, the others are ended."""
    import ray

    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    code, waiting, ending = 0, list(tasks), False
    try:
        while waiting:
            done, waiting = ray.wait(waiting, timeout=POLL_SECONDS)
            for task in done:
                code = code or _exit_code(task)
            if waiting and (asked or code) and not ending:
                ending = True
                for task in waiting:
                    ray.cancel(task, force=False)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def _exit_code(task: Any) -> int:
    import ray

    try:
        return int(ray.get(task))
    except ray.exceptions.RayError as error:
        print(f"error: a machine was lost: {str(error).splitlines()[0]}", file=sys.stderr)
        return FAILED


def _meeting_place() -> tuple[str, int]:
    """This machine's address and a free port on it."""
    import socket

    import ray

    with socket.socket() as found:
        found.bind(("", 0))
        return ray.util.get_node_ip_address(), found.getsockname()[1]


def _run(command: list[str], variables: dict[str, str], folder: str) -> int:
    """One machine's torchrun. Ray cancels a task by a KeyboardInterrupt in it, which is passed on as SIGTERM."""
    process = subprocess.Popen(command, env=os.environ | variables, cwd=folder, preexec_fn=end_with_parent)
    try:
        # Ray's interrupt reaches running Python only, and no wait in the system.
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
        return process.returncode
    except KeyboardInterrupt:
        process.terminate()
        return process.wait(STOP_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()


if __name__ == "__main__":
    main()
