"""Where a response says its answer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.verifier.extract import (
    MAX_CHARACTERS,
    Extracted,
    after_marker,
    after_thinking,
    extract_answer,
    last_boxed,
)

MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (r"\boxed{1} then \boxed{2}", Extracted("2", True)),
        (r"\boxed{\frac{1}{2}} or so. The answer is 7.", Extracted(r"\frac{1}{2}", True)),
        (r"\boxed{\{1, 2\}}", Extracted(r"\{1, 2\}", True)),
        (r"\boxed {3}", Extracted("3", True)),
        (r"\boxed{1}</think> The answer is 4", Extracted("4", False)),
        (r"\boxed{1}</think> so **Final Answer** \boxed{5}", Extracted("5", True)),
        ("The answer is 1. So the final answer is: $12.50$. I hope it is correct.", Extracted("$12.50$", False)),
        ("THE ANSWER IS 3 apples\nand more 4", Extracted("3 apples", False)),
        ("2+2=4\n#### 4", Extracted("4", False)),
        ("The answer is 5\n#### 6", Extracted("5", False)),
        ("first 3\nthen 4 eggs\n\n", Extracted("then 4 eggs", False)),
        (r"\boxed{}", None),
        (r"\boxed{" + "1" * (MAX_CHARACTERS + 1) + "}", None),
        ("", None),
        ("  \n ", None),
    ],
)
def test_the_order_of_places(response: str, expected: Extracted | None) -> None:
    """OREAL's order: after the thinking, box, phrase, marker, last line."""
    assert extract_answer(response, last_number=True) == expected


def test_the_last_line_only_where_it_is_allowed() -> None:
    """A number that nothing calls the answer counts only by setting."""
    assert extract_answer("it is 4", last_number=False) is None
    assert extract_answer("#### 4", last_number=False) == Extracted("4", False)


def test_an_unclosed_box_is_none() -> None:
    """Of a box that was cut off nothing is taken, and an earlier box does not stand in for it."""
    assert last_boxed(r"\boxed{1} \boxed{2") is None
    assert last_boxed(r"\boxed{a{b}") is None
    assert last_boxed(r"\boxed{a\}b}") == r"a\}b"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("1+1=2\n#### 2", "2"),
        ("#### 1\n####  2 ", "2"),
        ("#### 2\n1+1=2", "2\n1+1=2"),
        ("so #### 2", None),
        ("#### 1 #### 2", "1 #### 2"),
        ("##### 2", "# 2"),
        ("2", None),
    ],
)
def test_the_marker_starts_a_line(response: str, expected: str | None) -> None:
    """The answer reaches to the end of the response, so that nothing can be said after it or beside it."""
    assert after_marker(response) == expected


def test_thinking_ends_at_the_last_marker() -> None:
    """Whatever the marker, what stands before the last of them does not count."""
    assert after_thinking("a</think>b**Final Answer**c<conclude>d</think>e") == "e"
    assert after_thinking("no marker") == "no marker"


@given(st.text(alphabet="\\boxed{}fnswri 4#$\n.", max_size=200))
def test_any_text_has_an_answer_or_none(text: str) -> None:
    """Extraction never raises, and what it gives is short and from the text."""
    found = extract_answer(text, last_number=True)
    assert found is None or (0 < len(found.text) <= MAX_CHARACTERS and found.text in text)


@pytest.mark.parametrize(
    "piece", [r"\boxed{", "{", "}", "\\", r"\boxed", "answer is ", "####", "\n####", ". ", "9", " "]
)
def test_time_is_linear(piece: str) -> None:
    """Ten megabytes of any piece take a second or two, not hours: the pieces are what the patterns look for."""
    begun = time.process_time()
    extract_answer(piece * (10 * MEGABYTE // len(piece)), last_number=True)
    assert time.process_time() - begun < 20
