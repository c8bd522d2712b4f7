"""The writer that needs no model."""

from __future__ import annotations

import ast
import random

from hypothesis import given
from hypothesis import strategies as st

from assets.case2code.fuzz import GENERATORS, argument_types, fuzz_inputs
from assets.case2code.prompts import parse_examples
from assets.case2code.schema import examples_source


def function(source: str) -> ast.FunctionDef:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


@given(st.integers())
def test_every_generator_draws_literals_that_read_back(seed: int) -> None:
    """Inputs travel as source: a value whose repr is no literal (inf, an object) would be lost on the way."""
    rng = random.Random(seed)
    for name, generate in GENERATORS.items():
        value = generate(rng)
        assert ast.literal_eval(repr(value)) == value
        assert name.partition("[")[0] == type(value).__name__.removesuffix("Type")


@given(st.integers(), st.floats(0, 1))
def test_calls_are_distinct_and_survive_being_written_as_source(seed: int, guidance: float) -> None:
    """What is stored, shown in a prompt and run must be the same calls."""
    node = function("def f(text, n=1, *rest, flag, other=2, **more): return text")
    calls = fuzz_inputs(node, 30, guidance, random.Random(seed))
    assert len(set(calls)) == len(calls) > 20
    assert all([name for name, _ in call] == ["text", "n", "flag"] for call in calls)
    assert parse_examples(examples_source(calls)) == calls


def test_inputs_depend_on_nothing_but_function_and_seed() -> None:
    """A rebuilt dataset must be the same dataset."""
    node = function("def f(a, b): return a")
    random.seed(1)
    first = fuzz_inputs(node, 20, 0.5, random.Random("id"))
    random.seed(2)
    assert fuzz_inputs(node, 20, 0.5, random.Random("id")) == first
    assert fuzz_inputs(node, 20, 0.5, random.Random("other id")) != first


def test_signature_tells_types_by_annotation_then_default_then_name() -> None:
    """Guidance is what makes two-argument functions answer at all: of 81 pairs of types most raise."""
    node = function("def f(a: str | None, b: list[int], text=3, path=None, n=None, zz=None): return a")
    assert argument_types(node) == {
        "a": ("str", "None"),
        "b": ("list[int]", "list[str]", "int"),
        "text": ("int",),
        "path": ("str",),
        "n": ("int",),
        "zz": (),
    }


def test_without_guidance_every_type_is_tried() -> None:
    """The specification's setting is nine types drawn blindly; names must not narrow it then."""
    calls = fuzz_inputs(function("def f(n: int): return n"), 300, 0.0, random.Random(0))
    drawn = {type(ast.literal_eval(value)).__name__ for ((_, value),) in calls}
    assert drawn == {"int", "float", "str", "list", "bytes", "bool", "NoneType", "dict"}
