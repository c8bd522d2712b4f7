"""The processes of one run: torchrun's variables, the group they talk in, and who may write to a state folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout

from models.training.run_description import RunDescription, RunRefused

LOCK_SECONDS = 5.0


def world_size() -> int:
    """Processes of this run, by torchrun's variables."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is rank 0, by torchrun's variables."""
    return os.environ.get("RANK", "0") == "0"


def device_of(description: RunDescription) -> torch.device:
    """The device of this process; on a GPU that of torchrun's local rank. Raises RunRefused when it is not there."""
    if description.device == "cpu":
        return torch.device("cpu")
    place = int(os.environ.get("LOCAL_RANK", "0"))
    if not torch.cuda.is_available() or place >= torch.cuda.device_count():
        raise RunRefused(
            f"GPU {place} is asked for, but torch sees {torch.cuda.device_count()}; start fewer processes, install a "
            "CUDA build of torch, or set device to cpu"
        )
    return torch.device("cuda", place)


@contextmanager
def process_group(device: torch.device, needed: bool) -> Iterator[None]:
    """The group of torchrun's processes, destroyed at the end; of one process alone only when `needed`."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    if dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group(backend)
    elif needed:
        # DeepSpeed asks for a group also of one process, and reads its place from torchrun's variables.
        os.environ.setdefault("LOCAL_RANK", "0")
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    else:
        yield
        return
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def only_writer(state: Path) -> Iterator[None]:
    """Holds the state folder, so that no second run writes to it. Raises RunRefused when another one does."""
    state.mkdir(parents=True, exist_ok=True)
    owner = state / "owner"
    lock = FileLock(state / "lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        held_by = owner.read_text() if owner.exists() else "another process"
        raise RunRefused(
            f"{held_by} trains in {state}; wait for its end or end it with SIGTERM, or name another state folder"
        ) from error
    try:
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        lock.release()


def from_first(value: object) -> object:
    """Rank 0's value, in every process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]
