"""Trajectories as a folder of arrays, from which a training process of its own can be started."""

from itertools import chain, pairwise
from pathlib import Path

import numpy as np

from models.training.data_folder import DataFolderError, load_arrays, save_arrays
from models.training.trajectories import Trajectory, TrajectorySource

ARRAYS = (
    "tokens", "offsets", "prompt_lengths", "logprobs", "token_weights", "right", "weights", "update_bounds",
    "first_step",
)  # fmt: skip


def save_trajectories(folder: Path, source: TrajectorySource) -> None:
    """Writes the updates into `folder`. Raises DataFolderError when it holds data already."""
    rows = list(chain.from_iterable(source.updates))
    prompt_lengths = np.array([len(row.prompt) for row in rows], dtype=np.int64)
    response_lengths = np.array([len(row.response) for row in rows], dtype=np.int64)
    arrays = {
        "tokens": np.fromiter(chain.from_iterable(row.prompt + row.response for row in rows), dtype=np.uint32),
        "offsets": np.concatenate(([0], np.cumsum(prompt_lengths + response_lengths))),
        "prompt_lengths": prompt_lengths,
        "logprobs": np.fromiter(chain.from_iterable(row.logprobs for row in rows), dtype=np.float32),
        "token_weights": np.fromiter(chain.from_iterable(row.token_weights for row in rows), dtype=np.float32),
        "right": np.array([row.right for row in rows]),
        "weights": np.array([row.weight for row in rows], dtype=np.float32),
        "update_bounds": np.cumsum([0, *(len(update) for update in source.updates)], dtype=np.int64),
        "first_step": np.array(source.first_step, dtype=np.int64),
    }
    save_arrays(folder, "trajectories", arrays, [row.id for row in rows], {})


def load_trajectories(folder: Path) -> TrajectorySource:
    """The updates in a folder of `save_trajectories`, in memory. Raises DataFolderError."""
    arrays, ids, _ = load_arrays(folder, "trajectories", ARRAYS)
    columns = {name: array.tolist() for name, array in arrays.items()}
    tokens, logprobs, token_weights = (columns[name] for name in ("tokens", "logprobs", "token_weights"))
    answered = 0
    rows = []
    try:
        described = zip(
            ids or [], pairwise(columns["offsets"]), columns["prompt_lengths"], columns["right"], columns["weights"],
            strict=True,
        )  # fmt: skip
        for name, (begin, end), prompt_length, right, weight in described:
            first, last = begin + prompt_length, answered + end - begin - prompt_length
            here = slice(answered, last)
            rows.append(
                Trajectory(
                    name,
                    tuple(tokens[begin:first]),
                    tuple(tokens[first:end]),
                    tuple(logprobs[here]),
                    right,
                    weight,
                    tuple(token_weights[here]),
                )
            )
            answered = last
        updates = [rows[begin:end] for begin, end in pairwise(columns["update_bounds"])]
        return TrajectorySource(updates, columns["first_step"])
    except ValueError as error:
        raise DataFolderError(f"{folder} is not of one piece: {error}; build the data again") from error
