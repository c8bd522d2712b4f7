"""Commands for one machine and several."""

import shlex
from pathlib import Path

import pytest

from models.training.launch import (
    deepspeed_command,
    hostfile,
    hostfile_commands,
    read_hostfile,
    ssh_commands,
    torchrun_command,
)

RUN = Path("/shared/a run/run.json")
SLOTS = {"node0": 8, "node1": 8}


def parsed(command: list[str]) -> dict[str, object]:
    """The command as torchrun itself understands it."""
    from torch.distributed.run import parse_args

    assert command[1:3] == ["-m", "torch.distributed.run"]
    return vars(parse_args(command[3:]))


def test_one_machine() -> None:
    """A port of its own, so that two runs on a machine do not meet; and time to save at the end."""
    found = parsed(torchrun_command(RUN, 4))
    assert (found["standalone"], found["nproc_per_node"], found["shutdown_timeout"]) == (True, "4", 600)
    assert (found["training_script"], found["training_script_args"]) == ("models.training", [str(RUN)])


def test_several_machines_meet_at_the_head() -> None:
    """With fixed places as well as in the order of arrival."""
    free = parsed(torchrun_command(RUN, 8, nodes=2, head="node0", run_id="mine"))
    assert (free["nnodes"], free["rdzv_backend"], free["rdzv_endpoint"], free["rdzv_id"]) == (
        "2", "c10d", "node0:29500", "mine",
    )  # fmt: skip
    fixed = parsed(torchrun_command(RUN, 8, nodes=2, node_rank=1, head="node0", port=1234))
    assert (fixed["node_rank"], fixed["master_addr"], fixed["master_port"]) == (1, "node0", 1234)
    with pytest.raises(ValueError, match="give head"):
        torchrun_command(RUN, 8, nodes=2)
    with pytest.raises(ValueError, match="at least 1"):
        torchrun_command(RUN, 0)


def test_a_hostfile_comes_back() -> None:
    """Also with comments; a wrong line is named."""
    assert read_hostfile("# two\n\n" + hostfile(SLOTS)) == SLOTS
    for wrong in ("node0\n", "node0 slots=many\n", "node0 slots=1\nnode0 slots=1\n"):
        with pytest.raises(ValueError, match=r"line \d of the hostfile"):
            read_hostfile(wrong)
    with pytest.raises(ValueError, match="at least one slot"):
        hostfile({"node0": 0})


def test_every_machine_of_a_hostfile_has_its_command() -> None:
    """Ranks in the file's order, the first machine as the head; the lines survive a shell's quoting."""
    commands = hostfile_commands(RUN, SLOTS)
    assert [parsed(command)["node_rank"] for command in commands.values()] == [0, 1]
    assert {parsed(command)["master_addr"] for command in commands.values()} == {"node0"}
    *lines, last = ssh_commands(commands, Path("/opt/athanor"))
    assert last == "wait"
    ssh, host, remote, _ = shlex.split(lines[1])
    assert (ssh, host) == ("ssh", "node1")
    assert shlex.split(remote)[-1] == str(RUN)
    with pytest.raises(ValueError, match="as many processes"):
        hostfile_commands(RUN, {"node0": 8, "node1": 4})


def test_deepspeeds_launcher_takes_the_hostfile() -> None:
    """Its own parser reads the command."""
    runner = pytest.importorskip("deepspeed.launcher.runner", reason="DeepSpeed is not installed")
    found = runner.parse_args(deepspeed_command(RUN, Path("hosts"))[1:])
    assert (found.hostfile, found.master_port, found.module) == ("hosts", 29500, True)
    assert (found.user_script, found.user_args) == ("models.training", [str(RUN)])
