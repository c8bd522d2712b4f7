"""Which policy reinforcement learning starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assets.oreal.config import SftConfig
from assets.oreal.look import Look
from assets.oreal.sft import better, train_until_useful

CONFIG = SftConfig(steps=60, select_every=10, accuracy_low=0.5, accuracy_high=0.7)


def seen(accuracy: float, informative: float = 0.5) -> Look:
    return Look(accuracy, accuracy, informative)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (seen(0.1), None, True),
        (seen(0.4), seen(0.3), True),
        (seen(0.3), seen(0.4), False),
        (seen(0.55, 0.4), seen(0.65, 0.5), False),
        (seen(0.55, 0.6), seen(0.65, 0.5), True),
        (seen(0.5, 0.1), seen(0.49, 0.9), True),
        (seen(0.75, 0.1), seen(0.3, 0.9), True),
        (seen(0.6, 0.5), seen(0.6, 0.5), False),
    ],
)
def test_within_the_bounds_the_one_that_teaches_more(one: Look, other: Look | None, expected: bool) -> None:
    """Protects the choice: first nearness to the bounds, then the share of problems with 0 < p < 1; a tie changes
    nothing."""
    assert better(one, other, CONFIG) is expected


class Training:
    """Policies are the steps themselves; `dies_at` raises before the look of a step."""

    def __init__(self, accuracies: dict[int, float], dies_at: int = 0) -> None:
        self.accuracies, self.dies_at = accuracies, dies_at
        self.trained: list[int] = []
        self.looked: list[int] = []
        self.kept: list[int] = []

    def train(self, step: int) -> Any:
        self.trained.append(step)
        return step

    def look(self, step: Any) -> Look:
        if step == self.dies_at:
            raise KeyboardInterrupt
        self.looked.append(step)
        return seen(self.accuracies[step])

    def run(self, file: Path) -> tuple[list[int], int]:
        looks, step = train_until_useful(self.train, self.look, self.kept.append, CONFIG, file)  # type: ignore[arg-type]
        return [number for number, _ in looks], step


RISING = {10: 0.1, 20: 0.4, 30: 0.55, 40: 0.72, 50: 0.9, 60: 0.95}


def test_ends_beyond_the_upper_bound(tmp_path: Path) -> None:
    """Protects from training on when nothing is left to learn; the kept one is the best, not the last."""
    training = Training(RISING)
    assert training.run(tmp_path / "looks.json") == ([10, 20, 30, 40], 30)
    assert training.kept == [10, 20, 30]


def test_ends_with_the_last_step(tmp_path: Path) -> None:
    """A policy that stays below the bounds is still answered: a check judges it."""
    assert Training(dict.fromkeys(RISING, 0.2)).run(tmp_path / "looks.json") == ([10, 20, 30, 40, 50, 60], 10)


def test_no_look_is_taken_twice(tmp_path: Path) -> None:
    """Protects a killed run: what was looked at stays, and the end is that of an undisturbed run."""
    file = tmp_path / "looks.json"
    first, second, third = Training(RISING, dies_at=30), Training(RISING), Training(RISING)
    with pytest.raises(KeyboardInterrupt):
        first.run(file)
    assert second.run(file) == ([10, 20, 30, 40], 30)
    assert (first.looked, second.looked, second.trained) == ([10, 20], [30, 40], [30, 40])
    assert third.run(file) == ([10, 20, 30, 40], 30)
    assert third.trained == third.kept == []
