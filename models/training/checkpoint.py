"""The trainer's state on disk, from which a run goes on bit for bit.

A state is a folder `step-XXXXXXXX` with the tensors as safetensors, in files of bounded size, and the rest as JSON.
Tensors carry the parameters' names and whole shapes, so that another back-end or number of processes can go on from
it. It is written under another name, flushed to the disk and renamed, so that a kill at any moment leaves the previous
state valid. Its files' digests stand in `state.json`; a folder that does not match them is passed over for the one
before. One process may write to a state folder at a time.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

logger = logging.getLogger(__name__)

STATE_FILE = "state.json"
UNFINISHED = ".unfinished-"
FILE_BYTES = 4 * 2**30

NamedTensors = Iterable[tuple[str, Tensor]]


@dataclass
class TrainerState:
    """Where a run stands. `identity` names what the run is made of: data, starting weights, model, plan, objective."""

    identity: dict[str, object]
    step: int
    tokens_seen: int
    counts: dict[str, int]
    seconds: float
    learning_rate: float
    losses: list[float]
    rng: str


@dataclass(frozen=True)
class Retention:
    """Which states stay: the newest `last`, and every one whose step is a multiple of `every`."""

    last: int = 2
    every: int | None = None


@dataclass(frozen=True)
class SavedState:
    """A valid state on disk; tensors are read one by one."""

    folder: Path
    state: TrainerState
    files: tuple[str, ...]

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter by name."""
        return self._tensors("weights-")

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """The optimizer's tensors as `<parameter>.<exp_avg, exp_avg_sq or step>`."""
        return self._tensors("moments-")

    def _tensors(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        for name in self.files:
            if name.startswith(prefix):
                with safe_open(self.folder / name, framework="pt") as file:
                    for key in file.keys():  # noqa: SIM118 - not a mapping
                        yield key, file.get_tensor(key)


class ResumeRefused(RuntimeError):
    """The saved state belongs to another run: other data, another plan, model or starting point."""


def save_state(
    folder: Path,
    state: TrainerState,
    weights: NamedTensors,
    moments: NamedTensors,
    retention: Retention = Retention(),
    file_bytes: int = FILE_BYTES,
) -> Path:
    """Saves the state as `folder/step-XXXXXXXX`, drops those that retention does not keep, returns the new one's path.

    No more than `file_bytes` of tensors (or one tensor, if that is larger) are held at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{state.step:08d}"
    unfinished = folder / f"{UNFINISHED}{target.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    names = [*_write(unfinished, "weights", weights, file_bytes), *_write(unfinished, "moments", moments, file_bytes)]
    digests = {name: _file_digest(unfinished / name) for name in names}
    (unfinished / STATE_FILE).write_text(json.dumps({"files": digests} | asdict(state), indent=1))
    for path in (*unfinished.iterdir(), unfinished):
        _flush(path)
    if target.exists():
        shutil.rmtree(target)
    unfinished.rename(target)
    _flush(folder)
    _drop_old(folder, target, retention)
    return target


def newest_state(folder: Path, identity: dict[str, object]) -> SavedState | None:
    """The newest valid state, None when there is none.

    Raises ResumeRefused, naming every difference, when that state's identity is not `identity`.
    """
    for path in _newest_first(folder):
        saved = _read_valid(path)
        if saved is None:
            logger.warning("passing over %s: it is incomplete or damaged", path)
            continue
        _require_same(identity, saved.state.identity, path)
        return saved
    return None


def rng_state() -> str:
    """Torch's CPU random state, as `TrainerState.rng` keeps it."""
    return torch.get_rng_state().numpy().tobytes().hex()


def restore_rng(saved: str) -> None:
    """Puts a random state of `rng_state` back."""
    torch.set_rng_state(torch.frombuffer(bytearray.fromhex(saved), dtype=torch.uint8))


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of a model's parameters."""
    return tensors_digest((name, parameter.detach()) for name, parameter in model.named_parameters())


def tensors_digest(tensors: NamedTensors) -> str:
    """SHA-256 over names, shapes and bytes, in the order given."""
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write(folder: Path, stem: str, tensors: NamedTensors, file_bytes: int) -> list[str]:
    """Writes `stem-00000.safetensors` and so on; answers their names."""
    names: list[str] = []

    def flush(held: dict[str, Tensor]) -> None:
        names.append(f"{stem}-{len(names):05d}.safetensors")
        save_file(held, folder / names[-1])

    held: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        if held and size + tensor.nbytes > file_bytes:
            flush(held)
            held, size = {}, 0
        held[name] = tensor.detach().contiguous()
        size += tensor.nbytes
    flush(held)
    return names


def _drop_old(folder: Path, newest: Path, retention: Retention) -> None:
    saved = _newest_first(folder)
    # A later step than the one just saved was passed over as damaged, or the run would have gone on from it.
    valid = [path for path in saved if path.name <= newest.name]
    kept = set(valid[: retention.last])
    if retention.every:
        kept |= {path for path in valid if int(path.name.removeprefix("step-")) % retention.every == 0}
    for path in saved:
        if path not in kept:
            shutil.rmtree(path)
    for leftover in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)


def _read_valid(path: Path) -> SavedState | None:
    try:
        content = json.loads((path / STATE_FILE).read_text())
        if any(_file_digest(path / name) != digest for name, digest in content["files"].items()):
            return None
        state = TrainerState(**{field.name: content[field.name] for field in fields(TrainerState)})
        return SavedState(path, state, tuple(content["files"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
