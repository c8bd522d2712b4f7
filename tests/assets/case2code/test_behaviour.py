"""Behaviour hashes: blind to how a program is written, sharp on what it answers; splits follow from them alone."""

from __future__ import annotations

import ast
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.case2code.behaviour import behaviour_hash, is_constant, rounded_floats, split_of
from assets.case2code.grammar import Value, canonical_inputs, mini_functions
from assets.case2code.schema import Output

INTS = canonical_inputs(("int",))
LISTS = canonical_inputs(("ints",))


def hash_of(source: str, inputs: list[tuple[Value, ...]]) -> str | None:
    """The behaviour of the last function that `source` defines."""
    namespace: dict[str, object] = {}
    exec(source, namespace)
    call = namespace[ast.parse(source).body[-1].name]  # type: ignore[attr-defined]
    outputs = []
    for values in inputs:
        try:
            outputs.append(Output(repr(call(*values)), False))  # type: ignore[operator]
        except Exception as error:
            outputs.append(Output(f"{type(error)}: {error}", True))
    return behaviour_hash([repr(values) for values in inputs], outputs)


@pytest.mark.parametrize(
    ("first", "second", "inputs"),
    [
        ("def f(x):\n    return x + x", "def g(n):\n    return 2 * n", INTS),
        ("def f(x):\n    return x % 2 == 0", "def f(x):\n    return not x & 1", INTS),
        ("def f(x):\n    return sorted(x)[::-1]", "def f(x):\n    return sorted(x, reverse=True)", LISTS),
        ("def f(x):\n    return max(x)", "def f(x):\n    # the last\n    return max((v for v in x))", LISTS[:5]),
        ("def f(x):\n    return set(x)", "def f(x):\n    return set(reversed(x))", LISTS),
        ("def f(x):\n    return sum(v / 10 for v in x)", "def f(x):\n    return sum(v / 10 for v in x[::-1])", LISTS),
        ("def f(x):\n    return 1 // x", "def f(y):\n  y = y\n  return 1 // y", INTS),
    ],
)
def test_equivalent_programs_have_equal_hashes(first: str, second: str, inputs: list[tuple[Value, ...]]) -> None:
    """Other names, another layout, another algorithm, another order of a set or a sum: the same behaviour."""
    assert hash_of(first, inputs) is not None
    assert hash_of(first, inputs) == hash_of(second, inputs)


@pytest.mark.parametrize(
    ("first", "second", "inputs"),
    [
        ("def f(x):\n    return x + x", "def f(x):\n    return x + x + 1", INTS),
        ("def f(x):\n    return x", "def f(x):\n    return str(x)", INTS),
        ("def f(x):\n    return x[0]", "def f(x):\n    return x[0] if x else None", LISTS),
        ("def f(x):\n    return x", "def f(x):\n    return tuple(x)", LISTS),
    ],
)
def test_other_answers_have_other_hashes(first: str, second: str, inputs: list[tuple[Value, ...]]) -> None:
    """Values, their types and exceptions all count."""
    assert hash_of(first, inputs) != hash_of(second, inputs)


@given(st.integers(0, 400), st.sampled_from(["renamed", "reformatted", "wrapped"]))
def test_writing_does_not_change_the_hash(place: int, change: str) -> None:
    """Renaming, reformatting and calling through another function leave every grammar program's hash as it was."""
    function = next(islice(mini_functions(5), place, None))
    inputs = canonical_inputs(function.signature)
    if change == "renamed":
        tree = ast.parse(function.source)
        names = {"x": "first", "y": "second", "f": "renamed"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
            elif isinstance(node, ast.arg):
                node.arg = names[node.arg]
            elif isinstance(node, ast.FunctionDef):
                node.name = "renamed"
        written = ast.unparse(tree)
    elif change == "reformatted":
        written = "# a comment\n\n" + function.source.replace("    ", "\t") + "  # another\n\n"
    else:
        written = f"{function.source}\ndef g(*arguments):\n    return f(*arguments)"
    assert hash_of(written, inputs) == hash_of(function.source, inputs)


def test_an_address_makes_no_hash() -> None:
    """`<object at 0x7f…>` is another text in every run: nothing may be split by it."""
    assert behaviour_hash(["1"], [Output("<object object at 0x7f00>", False)]) is None
    assert behaviour_hash([], []) is None


def test_inputs_count_by_value_only() -> None:
    """The same answers to other inputs are another behaviour."""
    assert behaviour_hash(["(1,)"], [Output("1", False)]) != behaviour_hash(["(2,)"], [Output("1", False)])


def test_floats_are_rounded_inside_values_only() -> None:
    """Significant digits, in any depth; text, integers and what is no expression stay as they are."""
    assert rounded_floats("[0.30000000000000004, {'a': 1e-20}]", 9) == "[0.3, {'a': 1e-20}]"
    assert rounded_floats("'0.30000000000000004'", 9) == "'0.30000000000000004'"
    assert rounded_floats("12345678901234567890", 9) == "12345678901234567890"
    assert rounded_floats("<Point 0.1>", 9) == "<Point 0.1>"
    assert rounded_floats("[nan, inf, 1.0]", 9) == "[nan, inf, 1.0]"


def test_constants_are_seen() -> None:
    """A function that always answers alike is constant; one that raises for some input is not."""
    assert is_constant([Output("1", False)] * 3)
    assert not is_constant([Output("1", False), Output("1", True)])


def test_splits_have_their_shares_and_never_move() -> None:
    """The split of a behaviour depends on it, the shares and the seed alone; a larger test keeps the smaller one's."""
    names = [f"{i:032x}" for i in range(4000)]
    splits = {name: split_of(name, valid_share=0.1, test_share=0.2) for name in names}
    shares = Counter(splits.values())
    assert shares["test"] / 4000 == pytest.approx(0.2, abs=0.02)
    assert shares["valid"] / 4000 == pytest.approx(0.1, abs=0.02)
    larger = {name: split_of(name, valid_share=0.1, test_share=0.3) for name in names}
    assert all(larger[name] == "test" for name, split in splits.items() if split == "test")
    assert any(split_of(n, valid_share=0.1, test_share=0.2, seed=1) != splits[n] for n in names)
