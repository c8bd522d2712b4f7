"""Trainer states on disk."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from models.training import checkpoint
from models.training.backend import TorchBackend
from models.training.checkpoint import (
    ResumeRefused,
    Retention,
    TrainerState,
    newest_state,
    restore_rng,
    rng_state,
    save_state,
    weights_digest,
)
from models.training.plan import TrainingPlan

IDENTITY: dict[str, object] = {"data_digest": "abc", "plan.steps": 20, "plan.peak_lr": 1e-3}
PLAN = TrainingPlan(steps=20, batch_rows=1, sequence_length=1, peak_lr=0.1, warmup_steps=0)


def trained(steps: int) -> TorchBackend:
    """A small model after `steps` updates."""
    torch.manual_seed(0)
    backend = TorchBackend(nn.Linear(4, 3), PLAN)
    for step in range(steps):
        backend.model(torch.full((2, 4), step + 1.0)).square().sum().backward()
        backend.update(0.1)
    return backend


def state_of(step: int) -> TrainerState:
    losses = [1.0 / (n + 3) for n in range(step)]
    return TrainerState(IDENTITY, step, step * 8, {"loss": step * 7}, 1.5, 0.1, losses, rng_state())


def save(folder: Path, step: int, retention: Retention | None = None) -> Path:
    backend = trained(step)
    return save_state(folder, state_of(step), backend.weights(), backend.moments(), retention or Retention())


def found_step(folder: Path) -> int | None:
    saved = newest_state(folder, IDENTITY)
    return saved.state.step if saved else None


@pytest.mark.parametrize("file_bytes", [1, 50, 2**30])
def test_everything_comes_back(tmp_path: Path, file_bytes: int) -> None:
    """Weights, moments, step counts, losses and the random state are bit-equal, in one file or in several."""
    backend = trained(4)
    torch.manual_seed(11)
    state = state_of(4)
    folder = save_state(tmp_path, state, backend.weights(), backend.moments(), file_bytes=file_bytes)
    assert len(list(folder.glob("weights-*"))) == (2 if file_bytes < 2**30 else 1)
    expected_draw = torch.rand(3)
    fresh, saved = trained(0), newest_state(tmp_path, IDENTITY)
    assert saved is not None
    assert saved.state == state
    fresh.load(saved.weights(), saved.moments())
    restore_rng(saved.state.rng)
    assert torch.equal(torch.rand(3), expected_draw)
    assert weights_digest(fresh.model) == weights_digest(backend.model)
    ours, theirs = dict(fresh.moments()), dict(backend.moments())
    names = ("step", "exp_avg", "exp_avg_sq")
    assert ours.keys() == theirs.keys() == {f"{owner}.{name}" for owner in ("weight", "bias") for name in names}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for each in (fresh, backend):
        each.model(torch.ones(2, 4)).sum().backward()
        each.update(0.1)
    assert weights_digest(fresh.model) == weights_digest(backend.model)


def test_nothing_saved_is_a_fresh_start(tmp_path: Path) -> None:
    """An absent or empty folder is the first run, not an error."""
    assert found_step(tmp_path / "absent") is None
    assert found_step(tmp_path) is None


class Killed(BaseException):
    """Stands for a kill: nothing below may catch it."""


@pytest.mark.parametrize("call", ["save_file", "_file_digest", "_flush", "rename", "rmtree"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_kill_at_any_moment_of_a_save_leaves_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int
) -> None:
    """Wherever a save is cut off, the state before it or the new one is there, whole; and the next save succeeds."""
    save(tmp_path, 5)
    save(tmp_path, 10)
    owner: object = {"rename": Path, "rmtree": checkpoint.shutil}.get(call, checkpoint)
    original, calls = getattr(owner, call), []

    def dying(*args: object, **kwargs: object) -> object:
        calls.append(call)
        if len(calls) == at:
            raise Killed
        return original(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(owner, call, dying)
        try:
            save(tmp_path, 15)
            killed = False
        except Killed:
            killed = True
    assert killed == (len(calls) >= at)
    assert found_step(tmp_path) in ((10, 15) if killed else (15,))
    save(tmp_path, 15)
    assert found_step(tmp_path) == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000015"]


@pytest.mark.parametrize("name", ["weights-00000.safetensors", "moments-00000.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_damaged_states_are_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    """A torn or rotten file costs the steps since the state before, is said in the log, and is never loaded."""
    save(tmp_path, 5)
    path = save(tmp_path, 10) / name
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    if damage == "flipped":
        path.write_bytes(content[:-30] + b"\xff" * 30)
    assert found_step(tmp_path) == 5
    assert "passing over" in caplog.text


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    """Disks do not fill: the newest k states stay, whatever their number of digits."""
    for step in (1, 2, 9, 10, 100):
        save(tmp_path, step, Retention(last=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000009", "step-00000010", "step-00000100"]


def test_milestones_stay(tmp_path: Path) -> None:
    """States at multiples of `every` are kept beside the newest."""
    for step in (2, 4, 5, 8, 10, 12):
        save(tmp_path, step, Retention(last=1, every=5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000005", "step-00000010", "step-00000012"]


def test_a_damaged_later_state_is_not_kept_instead(tmp_path: Path) -> None:
    """After a fall back to an earlier state, the damaged later one does not push the new ones out."""
    save(tmp_path, 5)
    (save(tmp_path, 15) / "weights-00000.safetensors").unlink()
    assert found_step(tmp_path) == 5
    save(tmp_path, 10, Retention(last=1))
    assert found_step(tmp_path) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


def test_another_run_is_refused_and_named(tmp_path: Path) -> None:
    """Other data or another plan: no resume, and the message names each difference."""
    save(tmp_path, 5)
    with pytest.raises(ResumeRefused, match=r"data_digest: saved 'abc', now 'xyz'; plan.steps: saved 20, now 30"):
        newest_state(tmp_path, IDENTITY | {"data_digest": "xyz", "plan.steps": 30})


def test_files_are_flushed_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut cannot leave a valid name with empty files: all files and the folder reach the disk first."""
    events: list[str] = []
    flush, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("flush"), flush(descriptor))[1])
    monkeypatch.setattr(Path, "rename", lambda self, to: (events.append("rename"), rename(self, to))[1])
    save(tmp_path, 5)
    assert events == ["flush"] * 4 + ["rename", "flush"]


def test_digest_sees_every_bit() -> None:
    """One changed bit, another name or shape is another digest."""
    model = trained(1).model
    before = weights_digest(model)
    with torch.no_grad():
        model.bias[0] = torch.nextafter(model.bias[0], torch.tensor(9.0))
    assert weights_digest(model) != before
