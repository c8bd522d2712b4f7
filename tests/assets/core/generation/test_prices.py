"""What is reserved is never less than what is paid, where tokens can be counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.generation.prices import Price, prompt_tokens
from models.inference.engine import Message, Request, Sampling


def test_a_price_is_per_million_tokens() -> None:
    """As the endpoints' price lists have it."""
    assert Price(prompt=0.5, completion=1.5).cost(2_000_000, 1_000_000) == 2.5


@given(st.integers(1, 500), st.integers(1, 8), st.lists(st.integers(0, 9), min_size=1).map(tuple))
def test_the_most_covers_every_answer(new_tokens: int, n: int, prompt: tuple[int, ...]) -> None:
    """A prompt of token ids is counted, and each of n answers may be as long as it is allowed."""
    price = Price(prompt=3.0, completion=7.0)
    request = Request(prompt, Sampling(max_new_tokens=new_tokens), n=n)
    assert price.most(request) == pytest.approx(price.cost(len(prompt), n * new_tokens))


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [("abcdef", 2), ("abcdefg", 3), ("你好", 2), ((5, 6, 7), 3), ((Message("user", "abc"), Message("user", "")), 9)],
)
def test_prompts_are_estimated_by_their_bytes(prompt: object, tokens: int) -> None:
    """A token for three bytes, four more for each message."""
    assert prompt_tokens(prompt) == tokens  # type: ignore[arg-type]
