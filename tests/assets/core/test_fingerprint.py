"""One fingerprint for equal ingredients, and words for what differs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.fingerprint import canonical, changes, fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
INGREDIENTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(INGREDIENTS)
def test_order_of_keys_does_not_count(ingredients: dict[str, object]) -> None:
    """A dictionary built in another order is the same configuration: nothing is rebuilt."""
    assert fingerprint(dict(reversed(ingredients.items()))) == fingerprint(ingredients)
    assert changes(ingredients, ingredients) == []


@given(INGREDIENTS, INGREDIENTS)
def test_fingerprints_are_equal_exactly_when_ingredients_are(one: dict[str, object], two: dict[str, object]) -> None:
    """Two configurations never share a result (as 1 and True, or 1 and 1.0, might)."""
    assert (fingerprint(one) == fingerprint(two)) == (canonical(one) == canonical(two))
    assert (repr(one) == repr(two)) <= (fingerprint(one) == fingerprint(two))


@pytest.mark.parametrize(("one", "two"), [(1, True), (1, 1.0), ("1", 1), (None, ""), ([], {}), (["ab"], ["a", "b"])])
def test_values_that_look_alike_differ(one: object, two: object) -> None:
    """The types of configuration values count."""
    assert fingerprint({"value": one}) != fingerprint({"value": two})


def test_fingerprint_is_the_same_everywhere() -> None:
    """A lake that is shared between machines and releases is reused: the fingerprint is defined by its text."""
    text = '{"a":{"b":[1,"ü"]},"c":null}'
    assert fingerprint({"c": None, "a": {"b": [1, "ü"]}}) == hashlib.sha256(text.encode()).hexdigest()


def test_changes_are_named_by_their_path() -> None:
    """The run's log says why something is rebuilt, in a line a person can read."""
    old = {"config": {"dim": 1, "seed": 0}, "code": {"a": "x" * 100}, "gone": 1}
    new = {"config": {"dim": 2, "seed": 0}, "code": {"a": "y" * 100}, "came": None, "inputs": {"rows": "d"}}
    assert changes(old, new) == [
        f'code.a: "{"x" * 36}… → "{"y" * 36}…',
        "config.dim: 1 → 2",
        "gone: 1 → null",
        'inputs: null → {"rows":"d"}',
    ]
