"""Commands that start a run's processes, on one machine or several. Pure functions: nothing is started here.

Every process runs the same module on the same description; where the folders named in it lie, all machines must see
them under the same paths. Settings of DeepSpeed come from the description, so there is no file of them to hand round.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

MODULE = "models.training"
PORT = 29500
# torchrun kills its processes so long after it was told to end; the last state must be on the disk by then.
STOP_SECONDS = 600


def torchrun_command(
    description: Path,
    processes: int,
    *,
    nodes: int = 1,
    node_rank: int | None = None,
    head: str | None = None,
    port: int = PORT,
    run_id: str = "athanor",
    python: str = "python",
    module: str = MODULE,
    stop_seconds: int = STOP_SECONDS,
) -> list[str]:
    """The command to run on a machine, or on each of `nodes` machines with `processes` each.

    Several machines meet at `head`:`port`, the address of one of them. With `node_rank` a machine has a fixed place
    (0 is the head); without, places are taken in the order of arrival. Raises ValueError when `head` is missing.
    """
    if processes < 1 or nodes < 1:
        raise ValueError(f"processes {processes} and nodes {nodes} must be at least 1")
    place = ["--standalone"]
    if nodes > 1:
        if not head:
            raise ValueError(f"{nodes} nodes must meet somewhere; give head, the address of one of them")
        place = ["--nnodes", str(nodes)]
        if node_rank is None:
            place += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{head}:{port}", "--rdzv-id", run_id]
        else:
            place += ["--node-rank", str(node_rank), "--master-addr", head, "--master-port", str(port)]
    return [
        python, "-m", "torch.distributed.run", *place, "--nproc-per-node", str(processes),
        "--shutdown-timeout", str(stop_seconds), "-m", module, str(description),
    ]  # fmt: skip


def hostfile(slots: Mapping[str, int]) -> str:
    """A hostfile in DeepSpeed's and MPI's form, from processes per machine; the first machine is the head."""
    if not slots or any(count < 1 for count in slots.values()):
        raise ValueError(f"every machine needs at least one slot, and there must be a machine: {dict(slots)}")
    return "".join(f"{host} slots={count}\n" for host, count in slots.items())


def read_hostfile(text: str) -> dict[str, int]:
    """The inverse of `hostfile`; comments and empty lines are passed over. Raises ValueError, naming the line."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        host, _, rest = line.partition("#")[0].strip().partition(" ")
        if not host:
            continue
        name, _, count = rest.strip().partition("=")
        if name != "slots" or not count.isdigit() or host in found:
            raise ValueError(f"line {number} of the hostfile, {line!r}, must be `HOST slots=COUNT`, each host once")
        found[host] = int(count)
    return found


def hostfile_commands(
    description: Path, slots: Mapping[str, int], *, port: int = PORT, python: str = "python", module: str = MODULE
) -> dict[str, list[str]]:
    """torchrun's command for every machine of a hostfile, by machine. Raises ValueError when slots differ."""
    if len(set(slots.values())) != 1:
        raise ValueError(f"torchrun needs as many processes on every machine, not {dict(slots)}")
    hosts = list(slots)
    return {
        host: torchrun_command(
            description, slots[host], nodes=len(hosts), node_rank=rank, head=hosts[0], port=port, python=python,
            module=module,
        )
        for rank, host in enumerate(hosts)
    }  # fmt: skip


def ssh_commands(commands: Mapping[str, Sequence[str]], folder: Path) -> list[str]:
    """Lines for a shell that start each machine's command in `folder` of that machine, and wait for all."""
    lines = [f"ssh {host} {shlex.quote(f'cd {folder} && exec {shlex.join(command)}')} &" for host, command in
             commands.items()]  # fmt: skip
    return [*lines, "wait"]


def deepspeed_command(description: Path, hostfile_path: Path, *, port: int = PORT, module: str = MODULE) -> list[str]:
    """DeepSpeed's own launcher, which starts all machines of a hostfile over ssh; it sets torchrun's variables."""
    return ["deepspeed", "--hostfile", str(hostfile_path), "--master_port", str(port), "--module", module,
            str(description)]  # fmt: skip
