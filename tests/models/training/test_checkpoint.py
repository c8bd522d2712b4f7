"""Trainer states on disk."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from models.training import checkpoint
from models.training.checkpoint import ResumeRefused, TrainerState, resume, rng_state, save_state, weights_digest

IDENTITY: dict[str, object] = {"data_digest": "abc", "plan.steps": 20, "plan.peak_lr": 1e-3}


def trained(steps: int) -> tuple[nn.Module, AdamW]:
    """A small model after `steps` updates."""
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = AdamW(model.parameters(), lr=0.1, fused=True)
    for step in range(steps):
        model(torch.full((2, 4), step + 1.0)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def save(folder: Path, step: int, keep: int = 2) -> Path:
    state = TrainerState(
        IDENTITY, step, step * 8, step * 7, 1.5, 0.1, [1.0 / (n + 3) for n in range(step)], rng_state()
    )
    return save_state(folder, state, *trained(step), keep=keep)


def found_step(folder: Path) -> int | None:
    state = resume(folder, IDENTITY, *trained(0))
    return state.step if state else None


def test_everything_comes_back(tmp_path: Path) -> None:
    """Weights, both moments, the step count, losses and the random state are bit-equal after a resume."""
    model, optimizer = trained(4)
    torch.manual_seed(11)
    state = TrainerState(IDENTITY, 4, 32, 28, 1.5, 0.1, [0.1, 1 / 3, 1e-17, 2.0], rng_state())
    save_state(tmp_path, state, model, optimizer)
    expected_draw = torch.rand(3)
    fresh, fresh_optimizer = trained(0)
    assert resume(tmp_path, IDENTITY, fresh, fresh_optimizer) == state
    assert torch.equal(torch.rand(3), expected_draw)
    assert weights_digest(fresh) == weights_digest(model)
    ours, theirs = fresh_optimizer.state_dict()["state"], optimizer.state_dict()["state"]
    assert ours.keys() == theirs.keys() == {0, 1}
    for index in theirs:
        assert ours[index].keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(ours[index][name], theirs[index][name]) for name in theirs[index])


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


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
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
        save(tmp_path, step, keep=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000009", "step-00000010", "step-00000100"]


def test_a_damaged_later_state_is_not_kept_instead(tmp_path: Path) -> None:
    """After a fall back to an earlier state, the damaged later one does not push the new ones out."""
    save(tmp_path, 5)
    (save(tmp_path, 15) / "model.safetensors").unlink()
    assert found_step(tmp_path) == 5
    save(tmp_path, 10, keep=1)
    assert found_step(tmp_path) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


def test_another_run_is_refused_and_named(tmp_path: Path) -> None:
    """Other data or another plan: no resume, no change to the model, and the message names each difference."""
    save(tmp_path, 5)
    model, optimizer = trained(0)
    before = weights_digest(model)
    with pytest.raises(ResumeRefused, match=r"data_digest: saved 'abc', now 'xyz'; plan.steps: saved 20, now 30"):
        resume(tmp_path, IDENTITY | {"data_digest": "xyz", "plan.steps": 30}, model, optimizer)
    assert weights_digest(model) == before


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
    model, _ = trained(1)
    before = weights_digest(model)
    with torch.no_grad():
        model.bias[0] = torch.nextafter(model.bias[0], torch.tensor(9.0))
    assert weights_digest(model) != before
