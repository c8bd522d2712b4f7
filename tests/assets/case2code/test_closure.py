"""Bundling a function with what it needs of its module."""

from __future__ import annotations

import ast
import colorsys
import html
import importlib
import inspect
import platform
import posixpath
import random
import shlex
import textwrap
from collections.abc import Callable
from types import ModuleType

import pytest

from assets.case2code.closure import Bundle, Scope, bundle
from assets.case2code.functions import BUILTINS, find_functions, free_names
from assets.case2code.fuzz import fuzz_inputs
from assets.case2code.modules import Module, read_modules

MODULE = """
import os.path, sys
import re as regex
from . import sibling
from .sub import thing as other
from ..up import above
import numpy
PATTERN = regex.compile("a+")
LIMIT: int = 3
TABLE = {}
TABLE["x"] = 1
if sys.platform == "x":
    BRANCH = 1
else:
    BRANCH = 2
TWICE = 1
TWICE = 2
STATE = 0
def helper(a):
    return PATTERN.sub("b", a)[:LIMIT]
def user(a):
    return helper(os.path.basename(a))
def even(n):
    return n == 0 or odd(n - 1)
def odd(n):
    return n != 0 and even(n - 1)
def changed_table(a): return TABLE[a]
def branch(a): return BRANCH
def twice(a): return TWICE
def counter(a):
    global STATE
    STATE += 1
    return STATE
def foreign(a): return numpy.sum(a)
def relative(a): return other(a)
def too_high(a): return above(a)
def unknown(a): return nowhere(a)
def open(path): return path
def opens(a): return open(a)
def version(a): return sys.version_info
"""


def bundle_of(name: str, source: str = MODULE, module: str = "json.tool") -> Bundle:
    tree = ast.parse(source)
    node = next(found.node for found in find_functions(tree) if found.name == name)
    return bundle(node, Scope(tree, module))


def test_bundle_holds_what_is_reached_in_the_order_of_definition() -> None:
    """A constant must stand before what uses it at definition time, an import before both."""
    assert bundle_of("user").code == (
        "import os.path\nimport re as regex\n\nPATTERN = regex.compile('a+')\n\nLIMIT: int = 3\n\n"
        "def helper(a):\n    return PATTERN.sub('b', a)[:LIMIT]\n\n"
        "def user(a):\n    return helper(os.path.basename(a))\n"
    )


def test_functions_that_call_each_other_are_bundled_once() -> None:
    """A cycle must end the search, and either function can be the target."""
    namespace: dict[str, Callable[[int], bool]] = {}
    made = bundle_of("odd")
    exec(made.code, namespace)
    assert made.brought == ("even",)
    assert [namespace["odd"](n) for n in range(4)] == [False, True, False, True]
    assert bundle_of("even").code == made.code


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("changed_table", "TABLE"),
        ("branch", "BRANCH"),
        ("twice", "TWICE"),
        ("counter", "STATE"),
        ("foreign", "numpy"),
        ("too_high", "above"),
        ("unknown", "nowhere"),
    ],
)
def test_names_whose_value_the_source_does_not_tell_are_reported(name: str, missing: str) -> None:
    """A guessed value would make a program that behaves unlike the real one, with wrong outputs as truth."""
    assert bundle_of(name).unresolved == (missing,)


def test_a_module_function_hides_the_builtin_of_its_name() -> None:
    """`open` in a module that defines it is the module's: taking the builtin would run another program."""
    assert bundle_of("opens").brought == ("open",)


def test_imports_are_bound_exactly_and_relative_ones_made_absolute() -> None:
    """Imports are matched by the name they bind; matching by substring would attach unrelated lines."""
    assert bundle_of("relative").imports == ("from json.sub import thing as other",)
    assert bundle_of("version").imports == ("import sys",)
    assert "os" not in bundle_of("version").code


def test_unevaluated_annotations_need_nothing() -> None:
    """Under PEP 563 a foreign annotation must not cost the function, and must not be evaluated in the bundle."""
    source = "from __future__ import annotations\nfrom elsewhere import Kind\ndef f(a: Kind): return a\n"
    made = bundle_of("f", source)
    assert made.unresolved == ()
    exec(made.code, {})


@pytest.mark.slow
def test_bundles_of_the_standard_library_have_only_builtins_as_free_names() -> None:
    """The property that makes a bundle a program: nothing is missing, for every function of a real corpus."""
    whole = methods = 0
    for module in read_modules():
        assert isinstance(module, Module)
        tree = ast.parse(module.source)
        scope = Scope(tree, module.module, is_package=module.is_package)
        for found in find_functions(tree, methods=True):
            if found.reason is not None:
                continue
            made = bundle(found.node, scope)
            if made.unresolved:
                continue
            compile(made.code, found.name, "exec")
            assert free_names(made.code, future_annotations=scope.future) <= BUILTINS, (module.module, found.name)
            whole, methods = whole + ("." not in found.name), methods + ("." in found.name)
    assert whole > 1_100
    assert methods > 350
    if platform.python_version() == "3.11.7":
        assert (whole, methods) == (1_225, 420)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (colorsys, "rgb_to_hls"),
        (colorsys, "hls_to_rgb"),
        (html, "escape"),
        (posixpath, "basename"),
        (posixpath, "dirname"),
        (shlex, "quote"),
        (shlex, "join"),
        (textwrap, "dedent"),
        (textwrap, "indent"),
    ],
)
def test_a_bundle_behaves_as_the_function_in_its_module(module: ModuleType, name: str) -> None:
    """The whole point: what runs alone gives the outputs that the imported original gives, exceptions included."""
    tree = ast.parse(inspect.getsource(module))
    node = next(found.node for found in find_functions(tree) if found.name == name)
    made = bundle(node, Scope(tree, module.__name__))
    if made.unresolved:
        pytest.skip(f"{made.unresolved} cannot be followed in this Python")
    alone: dict[str, object] = {}
    exec(made.code, alone)
    original = importlib.import_module(module.__name__)
    calls = fuzz_inputs(node, 300, 0.5, random.Random(0))
    answers = [(_answer(alone[name], call), _answer(getattr(original, name), call)) for call in calls]
    assert all(ours == theirs for ours, theirs in answers)
    assert any(not ours.startswith("<class") for ours, _ in answers)


def _answer(function: object, call: tuple[tuple[str, str], ...]) -> str:
    arguments = {name: ast.literal_eval(value) for name, value in call}
    try:
        assert callable(function)
        return repr(function(**arguments))
    except Exception as error:
        return f"{type(error)}: {error}"
