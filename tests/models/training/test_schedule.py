"""Learning rates."""

import pytest

from models.training.schedule import cosine_with_warmup


def test_values_of_a_short_run() -> None:
    """Linear to the peak, then the cosine to 10 %: computed by hand for 4 + 5 steps."""
    rates = [cosine_with_warmup(step, 9, 4, 2.0, 0.1) for step in range(9)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    # cos(pi / 4) = 0.70711: 2 * (0.1 + 0.9 * (1 + 0.70711) / 2) = 1.7364
    assert rates[4:] == pytest.approx([2.0, 1.73640, 1.1, 0.46360, 0.2], abs=1e-5)


def test_ends_at_the_floor_whatever_the_length() -> None:
    """The last update of a run uses the floor, so the schedule never stops short or overshoots."""
    for steps in (3, 10, 1000):
        assert cosine_with_warmup(steps - 1, steps, 1, 1.0, 0.1) == pytest.approx(0.1)


def test_without_warmup_starts_at_the_peak() -> None:
    """No warm-up is a valid choice, and so is nothing but warm-up."""
    assert cosine_with_warmup(0, 10, 0, 3.0, 0.1) == 3.0
    assert cosine_with_warmup(9, 10, 10, 3.0, 0.1) == 3.0
