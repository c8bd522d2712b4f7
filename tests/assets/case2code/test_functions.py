"""The official filter, and the counts it gives on a corpus that every machine has."""

from __future__ import annotations

import ast
import platform
from collections import Counter

import pytest

from assets.case2code.functions import find_functions, free_names, is_self_contained, normalised
from assets.case2code.modules import Module, read_modules

MODULE = '''
import os
def kept(a):  # a comment
    """A docstring."""
    return a
def no_return(a):
    print(a)
def imports(a):
    import re
    return re.compile(a)
def nested(a):
    def inner(): return a
    return inner
def no_arguments(*args, key=1):
    return args
def positional_only(a, /):
    return a
def under_if(a):
    if a:
        def deep(): return a
    return 1
if os:
    def not_of_the_body(a):
        return a
async def asynchronous(a):
    return a
class Box:
    @staticmethod
    def static(a): return a
    def idle(self, a, b=len): return a
    def unused(self, a, b=2): return a + b
    def used(self, a): return self.a
    def unused(self): return 3
    @property
    def decorated(self): return 4
    def abs(self, a): return abs(a)
'''


def test_filter_gives_the_first_reason_in_the_counted_order() -> None:
    """The counts of the specification are by first reason; nested functions count as direct children only."""
    found = {found.name: found.reason for found in find_functions(ast.parse(MODULE))}
    assert found == {
        "kept": None,
        "no_return": "no_return",
        "imports": "import",
        "nested": "nested",
        "no_arguments": "no_arguments",
        "positional_only": "no_arguments",
        "under_if": None,
    }


def test_methods_are_taken_only_where_no_object_is_needed() -> None:
    """A method moved out of its class must mean the same: no self, no class scope, no name hiding a builtin."""
    methods = [found for found in find_functions(ast.parse(MODULE), methods=True) if "." in found.name]
    assert [(found.name, ast.unparse(found.node.args), found.reason) for found in methods] == [
        ("Box.static", "a", None),
        ("Box.unused", "a, b=2", None),
        ("Box.unused", "", "no_arguments"),
    ]
    namespace: dict[str, object] = {}
    exec(ast.unparse(methods[1].node), namespace)
    assert eval("unused(3)", namespace) == 5


def test_normalised_source_has_one_layout_no_comments_and_docstrings_only_if_wanted() -> None:
    """Layout and comments are nothing that behaviour tells, so no model shall be trained to guess them."""
    node = next(find_functions(ast.parse(MODULE))).node
    assert normalised(node) == 'def kept(a):\n    """A docstring."""\n    return a\n'
    assert normalised(node, docstrings=False) == "def kept(a):\n    return a\n"
    assert ast.get_docstring(node) == "A docstring."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b=c): return d(a)", {"c", "d"}),
        ("def f(a):\n    x = a\n    return [y + z for y in x]", {"z"}),
        ("def f(a):\n    global state\n    state = a\n    return f(a)", {"state"}),
        ("@wrap\ndef f(a): return lambda b: a + b + e", {"wrap", "e"}),
        ("def f(a: Kind) -> Other: return a", {"Kind", "Other"}),
        ("def f(a):\n    try:\n        return len(a)\n    except Error as e:\n        return e", {"len", "Error"}),
    ],
)
def test_free_names_follow_python_scoping(source: str, expected: set[str]) -> None:
    """A name missed here would be missing from a bundle, one too many would reject a good function."""
    assert free_names(source) == expected


def test_annotations_do_not_count_where_they_are_not_evaluated() -> None:
    """Self-containedness is about what a call needs (3 of the 409 functions carry foreign annotations)."""
    assert free_names("def f(a: Kind) -> Other: return a", future_annotations=True) == set()


@pytest.mark.skipif(platform.python_version() != "3.11.7", reason="the published counts are those of Python 3.11.7")
def test_counts_of_the_standard_library_are_the_published_ones() -> None:
    """Collection agrees with the counts made independently of it (673 files with that of the build settings)."""
    modules = [module for module in read_modules() if isinstance(module, Module)]
    assert len(modules) == 672
    found = [f for module in modules for f in find_functions(ast.parse(module.source))]
    assert len(found) == 3_128
    assert Counter(f.reason for f in found) == {
        None: 1_956,
        "no_return": 559,
        "import": 172,
        "nested": 90,
        "no_arguments": 351,
    }
    assert sum(is_self_contained(f.node) for f in found if f.reason is None) == 409
