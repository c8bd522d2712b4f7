"""Comparing what two runs printed."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.case2code.normalise import same_repr, sorted_sets

scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.sets(scalars) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(values)
def test_sorting_sets_keeps_the_value(value: object) -> None:
    """Normalising must never turn one answer into another."""
    text = sorted_sets(repr(value))
    assert ast.literal_eval(text.replace("set()", "()")) == ast.literal_eval(repr(value).replace("set()", "()"))
    assert same_repr(repr(value), repr(value), 0.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{'b', 'a'}", "{'a', 'b'}"),
        ("[{(2, 1), (1, 2)}]", "[{(1, 2), (2, 1)}]"),
        ("frozenset({'b', 'a'})", "frozenset({'a', 'b'})"),
        ("{frozenset({2, 1}), frozenset({3})}", "{frozenset({3}), frozenset({1, 2})}"),
        ("Box({'b', 'a'})", "Box({'a', 'b'})"),
    ],
)
def test_order_of_sets_is_no_difference(first: str, second: str) -> None:
    """It depends on the hash seed of the process: two right answers would count as different."""
    assert sorted_sets(first) == sorted_sets(second)
    assert same_repr(first, second, 0.0)


@pytest.mark.parametrize("text", ["{'b': 1, 'a': 2}", "'{b, a}'", "<object {b, a}>", "[b, a]", "{" * 300])
def test_text_without_sets_is_untouched(text: str) -> None:
    """The order of a dict is part of its behaviour, and a string is what it is."""
    assert sorted_sets(text) == text


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("0.30000000000000004", "0.3", True),
        ("[1.0, {'a': 2.0}]", "[1.0, {'a': 2.0000000001}]", True),
        ("0.3", "0.31", False),
        ("1", "1.0", False),
        ("1", "True", False),
        ("[1]", "(1,)", False),
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", False),
        ("nan", "nan", True),
        ("<a>", "<b>", False),
    ],
)
def test_floats_are_compared_within_a_tolerance_and_types_exactly(first: str, second: str, same: bool) -> None:
    """Another machine rounds the last digit differently; an int is still no float."""
    assert same_repr(first, second, 1e-9) is same
