"""Trajectories of random tokens for tests of what is trained on them."""

import numpy as np

from models.training.plan import TrainingPlan
from models.training.trajectories import Trajectory, TrajectorySource

PLAN = TrainingPlan(
    steps=6, batch_rows=8, sequence_length=64, peak_lr=3e-3, warmup_steps=2, clip_norm=0.5,
    checkpoint_every=100, threads=1,
)  # fmt: skip


def draw(count: int, seed: int = 0, right: bool | None = None) -> list[Trajectory]:
    """Prompts of 1 to 6 and responses of 1 to 20 tokens below 97; half are right unless told."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        size = int(rng.integers(1, 21))
        found.append(
            Trajectory(
                id=f"{seed}-{number}",
                prompt=tuple(rng.integers(1, 97, int(rng.integers(1, 7))).tolist()),
                response=tuple(rng.integers(1, 97, size).tolist()),
                logprobs=tuple(rng.uniform(-6, -4, size).tolist()),
                right=bool(number % 2) if right is None else right,
                weight=float(rng.uniform(0.1, 2)),
                token_weights=tuple(rng.uniform(0, 1, size).tolist()),
            )
        )
    return found


def updates(sizes: tuple[int, ...] = (5, 2, 7, 4, 1, 6)) -> list[list[Trajectory]]:
    """As many trajectories per step as told, no two steps alike."""
    return [draw(size, seed=100 + step) for step, size in enumerate(sizes)]


def part(first_step: int, end: int) -> TrajectorySource:
    """Some of the steps of `updates`."""
    return TrajectorySource(updates()[first_step:end], first_step)
