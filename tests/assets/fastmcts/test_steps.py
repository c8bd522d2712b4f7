"""Cutting answers into steps on token ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assets.fastmcts.steps import split_steps


def texts(pieces: list[str], marker: str = "\n") -> list[str]:
    steps = split_steps(range(len(pieces)), pieces, marker)  # type: ignore[arg-type]
    return ["".join(pieces[token] for token in step) for step in steps]


def test_lines() -> None:
    """A step ends with its newline; empty lines go with the line before; the silent stop token with the last."""
    assert texts([*"1+2=3\n\n#### 3\n", ""]) == ["1+2=3\n\n", "#### 3\n"]


def test_a_token_across_the_border_belongs_to_the_next_step() -> None:
    """Tokens of several characters are never torn."""
    assert texts(["1", "+2", "=3\n4", "-1", "\n", "####"]) == ["1+2", "=3\n4-1\n", "####"]


def test_numbered_steps() -> None:
    """`Step 1:` at a line's beginning opens a step; what stands before the first goes to a step of its own."""
    pieces = ["So", "\n", "Step", " 1", ": a\nb", "\nStep", " 2: c", "\n", "A Step 3"]
    assert texts(pieces, "Step") == ["So\n", "Step 1: a\nb", "\nStep 2: c\nA Step 3"]


@given(st.lists(st.text("1\n", max_size=3), min_size=1))
def test_nothing_is_lost(pieces: list[str]) -> None:
    """Steps joined are the tokens, and none is empty."""
    steps = split_steps(range(len(pieces)), pieces, "\n")
    assert [token for step in steps for token in step] == list(range(len(pieces)))
    assert all(steps)
