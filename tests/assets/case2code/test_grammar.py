"""The grammar: valid programs, the same for a seed, that end on every input, and enough different ones."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from itertools import islice

import pytest

from assets.case2code.behaviour import behaviour_hash
from assets.case2code.grammar import (
    ARGUMENTS,
    CANONICAL_INPUTS,
    SIGNATURES,
    canonical_inputs,
    draw_inputs,
    is_usable,
    mini_functions,
    recorded_cases,
    run,
)
from assets.case2code.schema import Output

TYPES = {"int": int, "str": str, "ints": list, "strs": list}


def hashes(n: int, seed: int = 0) -> set[str]:
    """Behaviours among the first `n` functions that show something."""
    found = set()
    for function in islice(mini_functions(seed), n):
        inputs = canonical_inputs(function.signature)
        outputs = run(function, inputs)
        if is_usable(outputs):
            found.add(behaviour_hash([repr(values) for values in inputs], outputs))
    return found


def test_a_seed_makes_the_same_functions_in_another_process() -> None:
    """The set of programs, and what they answer, do not depend on the hash seed of the interpreter."""
    program = (
        "from itertools import islice\nfrom assets.case2code.grammar import *\n"
        "for f in islice(mini_functions(3), 40): print(f.source, run(f, canonical_inputs(f.signature)))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."}, capture_output=True,
            check=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert [f.source for f in islice(mini_functions(3), 40)] != [f.source for f in islice(mini_functions(4), 40)]


def test_every_function_answers_every_input() -> None:
    """Whatever is drawn runs to its end: a value, or an exception with its text, for each of the 32 inputs."""
    for function in islice(mini_functions(0, (1.0, 1.0, 1.0)), 2000):
        outputs = run(function, canonical_inputs(function.signature))
        assert len(outputs) == CANONICAL_INPUTS
        errors = [output.text for output in outputs if output.is_error]
        assert all(text.startswith(("<class 'ValueError'>", "<class 'IndexError'>", "<class 'Zero")) for text in errors)


def test_source_is_what_python_would_write() -> None:
    """One function of the fixed name with its arguments in order, in the form of `ast.unparse`, short."""
    for function in islice(mini_functions(1, (1.0, 1.0, 1.0)), 500):
        tree = ast.parse(function.source)
        (definition,) = tree.body
        assert isinstance(definition, ast.FunctionDef)
        assert [argument.arg for argument in definition.args.args] == list(ARGUMENTS[: len(function.signature)])
        assert ast.unparse(tree) == function.source
        assert len(function.source) < 160


def test_both_arguments_are_used() -> None:
    """A function of two arguments whose second does nothing would teach that arguments do not matter."""
    pairs = [f for f in islice(mini_functions(0), 1000) if len(f.signature) == 2]
    assert len(pairs) > 100
    for function in pairs:
        names = {node.id for node in ast.walk(ast.parse(function.source)) if isinstance(node, ast.Name)}
        assert set(ARGUMENTS) <= names


@pytest.mark.parametrize("signature", [signature for signature, _ in SIGNATURES])
def test_inputs_have_the_types_of_the_signature(signature: tuple[str, ...]) -> None:
    """Inputs are typed, all different, and fixed by the seed; the canonical ones are 32."""
    inputs = draw_inputs(signature, 12, random.Random(0))  # type: ignore[arg-type]
    assert inputs == draw_inputs(signature, 12, random.Random(0))  # type: ignore[arg-type]
    assert len({repr(values) for values in inputs}) == 12
    for values in inputs:
        assert [type(value) for value in values] == [TYPES[wanted] for wanted in signature]
    assert len({repr(values) for values in canonical_inputs(signature)}) == CANONICAL_INPUTS  # type: ignore[arg-type]


def test_recorded_cases_are_calls_with_their_answers() -> None:
    """The arguments' sources, called by keyword, give the recorded outputs."""
    function = next(f for f in mini_functions(0) if len(f.signature) == 2)
    cases = recorded_cases(function, "a", 10, random.Random(0))
    namespace: dict[str, object] = {}
    exec(cases.code, namespace)
    for arguments, output in zip(cases.arguments, cases.example_outputs, strict=True):
        values = {name: ast.literal_eval(source) for name, source in arguments}
        try:
            expected = repr(namespace[cases.func_name](**values))  # type: ignore[operator]
        except Exception as error:
            expected = f"{type(error)}: {error}"
        assert expected == output.text


def test_functions_that_show_nothing_are_not_usable() -> None:
    """Constants, mostly exceptions, and results too long to read are refused."""
    one, two, error = Output("1", False), Output("2", False), Output("<class 'ValueError'>: no", True)
    assert is_usable([one, two, error])
    assert not is_usable([one, one, one, one, two])
    assert not is_usable([one, one, one])
    assert not is_usable([one, two, error, error, error])
    assert not is_usable([one, Output("'" + "k" * 50 + "'", False)])
    assert not is_usable([error, error])


def test_a_thousand_functions_hold_many_behaviours() -> None:
    """Few draws repeat each other: 1,000 of them behave in more than 500 ways."""
    assert len(hashes(1000)) > 500


@pytest.mark.slow
def test_twenty_thousand_behaviours_are_reachable() -> None:
    """The specification asks for at least 20,000 distinct behaviours."""
    assert len(hashes(50_000)) >= 20_000
