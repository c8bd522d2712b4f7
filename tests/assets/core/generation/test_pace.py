"""What a person reads beside the bar."""

from __future__ import annotations

import pytest

from assets.core.generation import pace as module
from assets.core.generation.pace import Pace


def test_the_note_says_speed_cost_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 100 s, a quarter done, 5,000 tokens in 50 s of asking."""
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    pace = Pace()
    now = 50.0
    pace.begin()
    now = 100.0
    assert pace.lap() == 50.0
    pace.add(5000, 0.25)
    assert pace.note(25, 100) == "100 tokens/s, 0.2500 US$, 5:00 left"


def test_nothing_is_invented() -> None:
    """No speed before something was asked, no cost without one, no time left without a total."""
    assert Pace().note(0, None) == ""
