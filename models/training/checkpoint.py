"""The trainer's state on disk, from which a run goes on bit for bit.

A state is a folder `step-XXXXXXXX` with the tensors as safetensors and the rest as JSON. It is written under another
name, flushed to the disk and renamed, so that a kill at any moment leaves the previous state valid. Its files' digests
stand in `state.json`; a folder that does not match them is passed over for the one before. One process may write to a
state folder at a time.
"""

import hashlib
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

logger = logging.getLogger(__name__)

MODEL_FILE, OPTIMIZER_FILE, STATE_FILE = "model.safetensors", "optimizer.safetensors", "state.json"
UNFINISHED = ".unfinished-"


@dataclass
class TrainerState:
    """Where a run stands. `identity` names what the run is made of: data, starting weights, model, plan."""

    identity: dict[str, object]
    step: int
    tokens_seen: int
    trained_tokens: int
    seconds: float
    learning_rate: float
    losses: list[float]
    rng: str


class ResumeRefused(RuntimeError):
    """The saved state belongs to another run: other data, another plan, model or starting point."""


def save_state(folder: Path, state: TrainerState, model: nn.Module, optimizer: Optimizer, keep: int = 2) -> Path:
    """Saves the state as `folder/step-XXXXXXXX`, keeps the newest `keep` and returns the new one's path."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{state.step:08d}"
    unfinished = folder / f"{UNFINISHED}{target.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    save_file(_model_tensors(model), unfinished / MODEL_FILE)
    save_file(_optimizer_tensors(optimizer), unfinished / OPTIMIZER_FILE)
    digests = {name: _file_digest(unfinished / name) for name in (MODEL_FILE, OPTIMIZER_FILE)}
    (unfinished / STATE_FILE).write_text(json.dumps({"files": digests} | asdict(state), indent=1))
    for path in (*unfinished.iterdir(), unfinished):
        _flush(path)
    if target.exists():
        shutil.rmtree(target)
    unfinished.rename(target)
    _flush(folder)
    saved = _newest_first(folder)
    # A later step than this one was passed over as damaged, or the run would have gone on from it.
    kept = [path for path in saved if path.name <= target.name][:keep]
    for path in saved:
        if path not in kept:
            shutil.rmtree(path)
    for leftover in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)
    return target


def resume(folder: Path, identity: dict[str, object], model: nn.Module, optimizer: Optimizer) -> TrainerState | None:
    """Puts the newest valid state into model, optimizer and torch's random state; None when there is none.

    Raises ResumeRefused, naming every difference, when that state's identity is not `identity`; nothing is changed
    then.
    """
    for path in _newest_first(folder):
        state = _read_valid(path)
        if state is None:
            logger.warning("passing over %s: it is incomplete or damaged", path)
            continue
        _require_same(identity, state.identity, path)
        _restore_model(model, load_file(path / MODEL_FILE))
        _restore_optimizer(optimizer, load_file(path / OPTIMIZER_FILE))
        torch.set_rng_state(torch.frombuffer(bytearray.fromhex(state.rng), dtype=torch.uint8))
        return state
    return None


def rng_state() -> str:
    """Torch's CPU random state, as `TrainerState.rng` keeps it."""
    return torch.get_rng_state().numpy().tobytes().hex()


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of a model's parameters."""
    digest = hashlib.sha256()
    for name, tensor in _model_tensors(model).items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}


def _optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    per_parameter = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, state in per_parameter.items() for name, tensor in state.items()}


@torch.no_grad()
def _restore_model(model: nn.Module, saved: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(saved[name])


def _restore_optimizer(optimizer: Optimizer, saved: dict[str, Tensor]) -> None:
    per_parameter: dict[int, dict[str, Tensor]] = {}
    for key, tensor in saved.items():
        index, name = key.split(".", 1)
        per_parameter.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": per_parameter})


def _read_valid(path: Path) -> TrainerState | None:
    try:
        content = json.loads((path / STATE_FILE).read_text())
        if any(_file_digest(path / name) != content["files"][name] for name in (MODEL_FILE, OPTIMIZER_FILE)):
            return None
        return TrainerState(**{field.name: content[field.name] for field in fields(TrainerState)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _require_same(planned: dict[str, object], saved: dict[str, object], path: Path) -> None:
    differences = [
        f"{name}: saved {saved.get(name)!r}, now {planned.get(name)!r}"
        for name in sorted(planned.keys() | saved.keys())
        if planned.get(name) != saved.get(name)
    ]
    if differences:
        raise ResumeRefused(
            f"{path} belongs to another run ({'; '.join(differences)}). Restore what differs to go on with it, or "
            f"start anew in another state folder, or delete {path.parent}"
        )


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
