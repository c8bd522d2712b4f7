"""Learning rates."""

import pytest

from models.training.schedule import SCHEDULES, constant, cosine, linear, warmup_stable_decay


def test_values_of_a_short_run() -> None:
    """Linear to the peak, then the cosine to 10 %: computed by hand for 4 + 5 steps."""
    rates = [2.0 * cosine(step, 9, 4, 0.1) for step in range(9)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    # cos(pi / 4) = 0.70711: 2 * (0.1 + 0.9 * (1 + 0.70711) / 2) = 1.7364
    assert rates[4:] == pytest.approx([2.0, 1.73640, 1.1, 0.46360, 0.2], abs=1e-5)


def test_ends_at_the_floor_whatever_the_length() -> None:
    """The last update of a run uses the floor, so the schedule never stops short or overshoots."""
    for steps in (3, 10, 1000):
        assert cosine(steps - 1, steps, 1, 0.1) == pytest.approx(0.1)


def test_without_warmup_starts_at_the_peak() -> None:
    """No warm-up is a valid choice, and so is nothing but warm-up."""
    assert cosine(0, 10, 0, 0.1) == 1.0
    assert cosine(9, 10, 10, 0.1) == 1.0


def test_linear_and_constant() -> None:
    """A straight line to the floor, and no fall at all."""
    assert [linear(step, 6, 2, 0.2) for step in range(6)] == pytest.approx(
        [0.5, 1.0, 1.0, 1 - 0.8 / 3, 1 - 1.6 / 3, 0.2]
    )
    assert [constant(step, 4, 2) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]


def test_warmup_stable_decay() -> None:
    """Flat between the warm-up and the last fifth, then in equal steps to the floor."""
    rates = [warmup_stable_decay(step, 20, 2, 0.1, 0.2) for step in range(20)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[2:16] == [1.0] * 14
    assert rates[16:] == pytest.approx([0.775, 0.55, 0.325, 0.1])


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_within_floor_and_peak(name: str) -> None:
    """No schedule leaves the interval its settings promise, whatever the number of steps."""
    for steps, warmup in ((1, 0), (1, 1), (7, 3), (100, 0), (100, 100)):
        rates = [SCHEDULES[name](step, steps, warmup, 0.1, 0.3) for step in range(steps)]
        assert all(0 < rate <= 1 for rate in rates)
        assert all(rate >= 0.1 - 1e-12 for rate in rates[warmup:])
