"""Functions, classes and docstrings out of Python source."""

from __future__ import annotations

import ast

import pytest

from assets.corpora.python_units import Unit, module_units, split_paragraphs

SOURCE = '''"""Module text."""
import os

LIMIT = 3


@decorated
def outer(x):
    """Outer text."""

    # a comment stays
    def inner():
        """Inner text."""
        return x
    return inner


class Error(Exception):
    """Only a docstring."""


class Shape:
    """A shape."""

    sides = 0  # how many

    @property
    def area(self):
        """The area."""
        return """two
    lines"""

    @area.setter
    def area(self, value): "one line"; self.value = value

    class Corner:
        def __init__(self):
            pass


try:
    import fast
except ImportError:
    async def fallback():
        return LIMIT
'''


def units(source: str, kind: str, max_class_bytes: int = 10_000) -> dict[str, str]:
    return {u.name: u.text for u in module_units(source, max_class_bytes) if u.kind == kind}


def without_docstrings(node: ast.AST) -> str:
    """The tree of a definition with `pass` for an empty body: the truth that code units are held to."""
    for scope in ast.walk(node):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(scope, clean=False) is not None:
            scope.body = scope.body[1:] or [ast.Pass()]
    return ast.dump(node)


def test_units_carry_the_names_python_gives() -> None:
    """Names must lead back to the object: methods under classes, nested functions under `<locals>`."""
    assert list(units(SOURCE, "code")) == ["outer", "Error", "Shape", "fallback"]
    assert list(units(SOURCE, "prose")) == [
        *["<module>", "outer", "outer.<locals>.inner", "Error", "Shape", "Shape.area"],
    ]


def test_docstrings_are_prose_and_never_code() -> None:
    """A text that stood in both kinds would be trained on twice and leak over a split."""
    prose = units(SOURCE, "prose")
    assert prose["outer"] == "Outer text."
    code = "\n".join(units(SOURCE, "code").values())
    for text in ("Outer text", "Inner text", "Only a docstring", "A shape", "The area", "one line"):
        assert text not in code
    assert "# a comment stays" in code


def test_a_body_of_nothing_but_a_docstring_becomes_pass() -> None:
    """Without it the class would no longer parse."""
    assert units(SOURCE, "code")["Error"] == "class Error(Exception):\n    pass"


def test_large_class_is_split_into_attributes_methods_and_inner_classes() -> None:
    """A class of thousands of lines is no document; nothing of it may get lost or be there twice."""
    split = [u for u in module_units(SOURCE, max_class_bytes=10) if u.kind == "code"]
    shape = [u for u in split if u.name.startswith("Shape")]
    assert [u.name for u in shape] == ["Shape", "Shape.area", "Shape.area", "Shape.Corner.__init__"]
    assert shape[0].text == "class Shape:\n    sides = 0  # how many"
    assert shape[1].text == '@property\ndef area(self):\n    return """two\n    lines"""'
    assert shape[2].text == "@area.setter\ndef area(self, value): self.value = value"


def test_moving_a_method_left_leaves_its_string_literals_alone() -> None:
    """Removing indentation inside a string changes what the program does."""
    [unit] = [u for u in module_units(SOURCE, 10) if u.name == "Shape.area" and "two" in u.text]
    returned = ast.parse(unit.text).body[0]
    assert isinstance(returned, ast.FunctionDef)
    assert isinstance(returned.body[0], ast.Return)
    assert ast.literal_eval(returned.body[0].value or ast.Constant(None)) == "two\n    lines"


@pytest.mark.parametrize("max_class_bytes", [0, 60, 10_000])
def test_code_units_are_the_original_trees(max_class_bytes: int) -> None:
    """The one property that edits of source text must keep: what runs is what was written."""
    truth = {without_docstrings(n) for n in ast.walk(ast.parse(SOURCE)) if isinstance(n, ast.stmt)}
    for unit in module_units(SOURCE, max_class_bytes):
        if unit.kind == "code" and not unit.text.startswith("class Shape:\n    sides = 0  # how many"):
            [statement] = ast.parse(unit.text).body
            assert without_docstrings(statement) in truth, unit


def test_multibyte_text_before_a_cut() -> None:
    """Syntax trees count bytes, strings count characters: a cut at the wrong one would tear the line."""
    source = 'def f(é="äöü"): "döc"; return é\n'
    assert list(module_units(source, 100)) == [
        Unit("code", "f", 'def f(é="äöü"): return é'),
        Unit("prose", "f", "döc"),
    ]


@pytest.mark.parametrize("source", ["def broken(:\n", "x = 1\0"])
def test_what_is_not_python_raises(source: str) -> None:
    """The reader turns these two errors into a reject; any other would stop the walk."""
    with pytest.raises((SyntaxError, ValueError)):
        list(module_units(source, 100))


def test_long_text_is_split_between_paragraphs() -> None:
    """Nothing is lost, parts keep the bound, and a paragraph above it stays whole."""
    paragraphs = ["a" * 40, "b" * 40, "é" * 100, "c" * 10, "d" * 10]
    parts = split_paragraphs("\n\n".join(paragraphs), 90)
    assert "\n\n".join(parts) == "\n\n".join(paragraphs)
    assert [len(part.encode()) for part in parts] == [82, 200, 22]
