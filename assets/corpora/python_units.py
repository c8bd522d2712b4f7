"""The units of one Python module: functions and classes as code, docstrings as prose. No I/O.

Every docstring is taken out of the code, so that no text is in both. The code of a unit parses on its own and
has, docstrings aside, the syntax tree of the original. Statements of the module itself (imports, constants,
tables) belong to no unit.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from io import StringIO
from typing import NamedTuple

from assets.corpora.schema import Kind

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Unit(NamedTuple):
    """A piece of a module: `name` is the qualified name Python gives it, `<module>` for the module itself."""

    kind: Kind
    name: str
    text: str


def module_units(source: str, max_class_bytes: int) -> Iterator[Unit]:
    """All code units of a module in source order, then all its docstrings.

    A class whose code is longer than `max_class_bytes` becomes its attributes (header and statements outside
    methods) and one unit for each method or inner class; a function is never split. Raises SyntaxError or
    ValueError (a NUL byte) when the source is not Python.
    """
    tree = ast.parse(source)
    lines = source.encode("utf-8").split(b"\n")
    for node in _definitions(tree):
        yield from _code(lines, node, node.name, max_class_bytes)
    scopes: list[tuple[str, ast.Module | Definition]] = [("<module>", tree), *_scopes(tree, "")]
    for name, scope in scopes:
        text = ast.get_docstring(scope)
        if text:
            yield Unit("prose", name, text)


def _definitions(node: ast.AST) -> Iterator[Definition]:
    """The functions and classes a scope defines itself, those under `if`, `try` or `with` included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield child
        elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _definitions(child)


def _scopes(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    for child in _definitions(node):
        name = prefix + child.name
        yield name, child
        yield from _scopes(child, f"{name}." if isinstance(child, ast.ClassDef) else f"{name}.<locals>.")


def _code(lines: list[bytes], node: Definition, name: str, max_class_bytes: int) -> Iterator[Unit]:
    text = _source(lines, node)
    members = list(_definitions(node))
    if isinstance(node, ast.ClassDef) and members and len(text.encode("utf-8")) > max_class_bytes:
        attributes = _attributes(lines, node)
        if attributes:
            yield Unit("code", name, attributes)
        for member in members:
            yield from _code(lines, member, f"{name}.{member.name}", max_class_bytes)
    else:
        yield Unit("code", name, text)


def _source(lines: list[bytes], node: Definition) -> str:
    """The source of a definition, decorators included, at column 0 and without any docstring."""
    first = _first_line(node)
    kept: dict[int, bytes] = {n: lines[n - 1] for n in range(first, _last_line(node) + 1)}
    for scope in [node, *(inner for _, inner in _scopes(node, ""))]:
        if ast.get_docstring(scope, clean=False) is not None:
            _remove_docstring(kept, scope.body)
    return _dedent(list(kept.values()), node.col_offset)


def _attributes(lines: list[bytes], node: ast.ClassDef) -> str:
    """The header of a class and its statements that define no method, or "" when there are none."""
    is_documented = ast.get_docstring(node, clean=False) is not None
    statements = [s for s in node.body[is_documented:] if not _defines(s)]
    if not statements:
        return ""
    kept = set(range(_first_line(node), _first_line(node.body[0])))
    for statement in statements:
        kept.update(range(statement.lineno, _last_line(statement) + 1))
    return _dedent([lines[n - 1] for n in sorted(kept)], node.col_offset)


def _defines(statement: ast.stmt) -> bool:
    return isinstance(statement, Definition) or next(_definitions(statement), None) is not None


def _remove_docstring(kept: dict[int, bytes], body: list[ast.stmt]) -> None:
    """Takes the docstring that opens `body` out of the numbered lines; a body left empty becomes `pass`."""
    first, last = body[0].lineno, _last_line(body[0])
    before, after = kept[first][: body[0].col_offset], kept[last][body[0].end_col_offset :]
    follows = body[1] if len(body) > 1 else None
    if follows is None:
        kept[first] = before + b"pass" + after
    elif follows.lineno == last:
        kept[first] = before + kept[last][follows.col_offset :]
    else:
        del kept[first]
        while not kept[last + 1].strip():
            last += 1
    for number in range(first + 1, last + 1):
        del kept[number]


def _dedent(lines: list[bytes], indent: int) -> str:
    """The lines moved left by `indent` columns, but for those that begin inside a string literal."""
    prefix = lines[0][:indent].decode("utf-8")
    text = [line.decode("utf-8") for line in lines]
    if prefix:
        inside_string = _string_continuations("\n".join(text))
        text = [t if n in inside_string else t.removeprefix(prefix) for n, t in enumerate(text, start=1)]
    return "\n".join(text)


def _string_continuations(source: str) -> set[int]:
    """Line numbers, from 1, that begin inside a string literal."""
    if not any(mark in source for mark in ('"""', "'''", "\\\n")):
        return set()
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {line for token in tokens for line in range(token.start[0] + 1, token.end[0] + 1)}


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def split_paragraphs(text: str, max_bytes: int) -> list[str]:
    """Consecutive paragraphs joined up to `max_bytes` of UTF-8; a longer paragraph stands alone, whole."""
    parts: list[str] = []
    size = 0
    for paragraph in text.split("\n\n"):
        added = len(paragraph.encode()) + 2
        if parts and size + added <= max_bytes:
            parts[-1] += "\n\n" + paragraph
            size += added
        else:
            parts.append(paragraph)
            size = added
    return parts
