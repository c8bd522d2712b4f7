"""Which prompts and answers are learned from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.oreal.config import PromptsConfig
from assets.oreal.selection import divide, informative, one_of_each, repeats

ROWS = st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=12)


@given(ROWS)
def test_a_prompt_teaches_if_its_answers_differ(rows: list[list[bool]]) -> None:
    """Protects from prompts with p of 0 or 1, of which every weight by 1 - p or p would be empty."""
    assert informative(np.array(rows)).tolist() == [len(set(row)) == 2 for row in rows]


@pytest.mark.parametrize(
    ("rate", "times"),
    [(0.0, 6), (0.199, 6), (0.2, 4), (0.4, 4), (0.5999, 4), (0.6, 2), (0.79, 2), (0.8, 2), (1.0, 2)],
)
def test_hard_prompts_are_asked_more_often(rate: float, times: int) -> None:
    """The official code's bins are [0, 0.2), [0.2, 0.4), [0.4, 0.6) and [0.6, 0.8): a bound belongs to the bin above;
    what is above the last is filtered before."""
    config = PromptsConfig()
    assert repeats(np.array([rate]), config.bounds, config.times).tolist() == [times]


@given(st.lists(st.booleans(), min_size=2).filter(lambda row: len(set(row)) == 2), st.integers(0, 2**32))
def test_one_right_and_one_wrong_answer(row: list[bool], seed: int) -> None:
    """Protects the balance of algorithm 1, and that the same seed draws the same."""
    right, wrong = one_of_each(np.array(row), np.random.default_rng(seed))
    assert (row[right], row[wrong]) == (True, False)
    assert (right, wrong) == one_of_each(np.array(row), np.random.default_rng(seed))


def test_every_answer_can_be_drawn() -> None:
    """Protects from always taking the first one, which would be short answers where they end first."""
    rng = np.random.default_rng(0)
    drawn = {one_of_each(np.array([True, False, True, False]), rng) for _ in range(100)}
    assert drawn == {(0, 1), (0, 3), (2, 1), (2, 3)}


@given(st.integers(1, 50), st.integers(1, 8))
def test_updates_share_the_prompts(prompts: int, updates: int) -> None:
    """No prompt is lost or learned from twice, and updates are of one size, give or take a prompt."""
    parts = divide(np.arange(prompts), updates)
    assert len(parts) == updates
    assert np.concatenate(parts).tolist() == list(range(prompts))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
