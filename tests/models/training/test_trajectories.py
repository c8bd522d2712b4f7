"""Trajectories as batches, in parts, and as a folder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.training.data_folder import DATA_FILE, DataFolderError
from models.training.trajectories import Trajectory, TrajectoryBatch, TrajectorySource, trajectory_batch
from models.training.trajectory_folder import load_trajectories, save_trajectories
from tests.models.training.answers import draw, part, updates


def rows_of(batch: TrajectoryBatch) -> list[Trajectory]:
    """The trajectories of a batch again, but for rows that are empty."""
    found = []
    for row, name in enumerate(batch.ids):
        mask, length = batch.response_mask[row], int(batch.lengths[row])
        if not mask.any():
            continue
        prompt_length = length - int(mask.sum())
        tokens = batch.tokens[row, :length].tolist()
        assert not batch.tokens[row, length:].any()
        assert mask[prompt_length:length].all()
        found.append(
            Trajectory(
                name,
                tuple(tokens[:prompt_length]),
                tuple(tokens[prompt_length:]),
                tuple(batch.sampler_logprobs[row][mask].tolist()),
                bool(batch.right[row]),
                batch.weight[row].item(),
                tuple(batch.token_weights[row][mask].tolist()),
            )
        )
    return found


def rounded(trajectory: Trajectory) -> Trajectory:
    """Its numbers in float32, as a batch holds them."""
    logprobs, weights = (torch.tensor(each).tolist() for each in (trajectory.logprobs, trajectory.token_weights))
    weight = torch.tensor(trajectory.weight).item()
    return replace(trajectory, logprobs=tuple(logprobs), weight=weight, token_weights=tuple(weights))


def test_a_batch_holds_every_trajectory() -> None:
    """Tokens, logprobs and weights stand where their response is, and nothing elsewhere."""
    trajectories = draw(9)
    batch = trajectory_batch(trajectories)
    assert rows_of(batch) == [rounded(each) for each in trajectories]
    assert batch.n_tokens == sum(len(each.prompt) + len(each.response) for each in trajectories)
    assert batch.response_tokens == sum(len(each.response) for each in trajectories)
    assert not batch.sampler_logprobs[~batch.response_mask].any()
    assert not batch.token_weights[~batch.response_mask].any()


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 50))
def test_split_loses_nothing(count: int, parts: int, seed: int) -> None:
    """Any number of rows in any number of parts: each once, and a part for every process also of too few rows."""
    trajectories = draw(count, seed)
    split = trajectory_batch(trajectories).split(parts)
    assert len(split) == parts
    found = [row for each in split for row in rows_of(each)]
    assert sorted(row.id for row in found) == sorted(each.id for each in trajectories)
    assert {row.id: row for row in found} == {each.id: rounded(each) for each in trajectories}
    assert sum(each.n_tokens for each in split) == sum(len(each.prompt) + len(each.response) for each in trajectories)


def test_parts_are_alike_in_work() -> None:
    """Of 64 ragged rows no part of 4 has twice the tokens of another, and padding falls by more than half."""
    batch = trajectory_batch(draw(64))
    split = batch.split(4)
    sizes = [each.n_tokens for each in split]
    assert max(sizes) < 2 * min(sizes)
    padding = batch.tokens.numel() - batch.n_tokens
    assert sum(each.tokens.numel() - each.n_tokens for each in split) < padding / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": ()}, "no prompt"),
        ({"response": ()}, "no response"),
        ({"logprobs": (0.0,)}, "1 logprobs"),
        ({"weight": -1.0}, "`right` has the sign"),
        ({"weight": float("nan")}, "not finite"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    """A wrong trajectory is named where it is made, not in step 900."""
    with pytest.raises(ValueError, match=f"trajectory 0-3.*{message}"):
        replace(draw(4)[3], **change)  # type: ignore[arg-type]


def test_a_source_gives_its_own_steps_only() -> None:
    """Steps of another part of the run would be trained on the wrong answers."""
    source = part(2, 5)
    assert [len(source.batch(step).ids) for step in (2, 3, 4)] == [7, 4, 1]
    assert source.row_ids(source.batch(3)) == [each.id for each in updates()[3]]
    assert len(source.heaviest_batch(6).ids) == 7
    source.require(5)
    with pytest.raises(ValueError, match="steps 2 to 4, too few for 6"):
        source.require(6)
    for step in (1, 5):
        with pytest.raises(ValueError, match=f"step {step} is asked for"):
            source.batch(step)
    with pytest.raises(ValueError, match="every update needs a trajectory"):
        TrajectorySource([draw(2), []])


def test_a_folder_gives_back_what_was_saved(tmp_path: Path) -> None:
    """Updates, order, first step and every number, in the precision of a batch."""
    save_trajectories(tmp_path / "data", part(1, 4))
    loaded = load_trajectories(tmp_path / "data")
    assert loaded.first_step == 1
    assert [list(update) for update in loaded.updates] == [[rounded(each) for each in u] for u in updates()[1:4]]
    with pytest.raises(DataFolderError, match="exists"):
        save_trajectories(tmp_path / "data", part(1, 4))


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    """Missing ids, or arrays that do not fit each other, are no silent loss of rows."""
    save_trajectories(tmp_path / "data", part(0, 2))
    path = tmp_path / "data" / DATA_FILE
    described = path.read_text()
    path.write_text(described.replace('"ids": 7', '"ids": 6'))
    with pytest.raises(DataFolderError, match="6 ids"):
        load_trajectories(tmp_path / "data")
    path.write_text(described.replace('"trajectories"', '"examples"'))
    with pytest.raises(DataFolderError, match="kind 'trajectories'"):
        load_trajectories(tmp_path / "data")
