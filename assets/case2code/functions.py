"""Which functions of a module are programs to learn: the official filter over its syntax tree. No I/O."""

from __future__ import annotations

import ast
import builtins
import copy
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Reason = Literal["no_return", "import", "nested", "no_arguments"]
BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True)
class Found:
    """A function of a module: its qualified name, its tree, and why the filter rejects it (None: kept)."""

    name: str
    node: ast.FunctionDef
    reason: Reason | None


def find_functions(tree: ast.Module, *, methods: bool = False) -> Iterator[Found]:
    """The functions that a module's body defines itself, with the filter's verdict, in source order.

    `methods` adds those of its classes that need no object: static ones, and those that never touch `self`, which lose
    that argument (our default for enlarging the pool).
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield Found(node.name, node, reject_reason(node))
        elif methods and isinstance(node, ast.ClassDef):
            for member in node.body:
                free = _without_object(member) if isinstance(member, ast.FunctionDef) else None
                if free is not None:
                    yield Found(f"{node.name}.{free.name}", free, reject_reason(free))


def reject_reason(node: ast.FunctionDef) -> Reason | None:
    """The first reason why a function is no case-to-code program, in the order the specification counts them.

    Arguments that can only be given by position or only by name do not count (official repo: ast_utils.py).
    """
    inside = list(ast.walk(node))
    if not any(isinstance(part, ast.Return) for part in inside):
        return "no_return"
    if any(isinstance(part, ast.Import | ast.ImportFrom) for part in inside):
        return "import"
    if any(isinstance(child, ast.FunctionDef) for child in ast.iter_child_nodes(node)):
        return "nested"
    return None if node.args.args else "no_arguments"


def normalised(node: ast.stmt, *, docstrings: bool = True) -> str:
    """The source of a statement written out from its tree: no comments, one layout; without docstrings if asked."""
    return ast.unparse(node if docstrings else _undocumented(copy.deepcopy(node))) + "\n"


def without_docstrings(source: str) -> str:
    """Source code written out from its tree, without the docstrings of its functions and classes."""
    return ast.unparse(_undocumented(ast.parse(source))) + "\n"


def free_names(source: str, *, future_annotations: bool = False) -> set[str]:
    """Names that source code takes from outside itself, builtins included.

    With `future_annotations` (PEP 563) annotations are never evaluated, so their names do not count.
    """
    if future_annotations:
        source = f"from __future__ import annotations\n{source}"
    used: set[str] = set()
    bound: set[str] = set()
    top = symtable.symtable(source, "<source>", "exec")
    for symbol in top.get_symbols():
        if symbol.is_assigned() or symbol.is_imported():
            bound.add(symbol.get_name())
        if symbol.is_referenced():
            used.add(symbol.get_name())
    for table in _inner(top):
        # A name that a function declares global and assigns is state of the module: it comes from outside too.
        used |= {s.get_name() for s in table.get_symbols() if s.is_global() and (s.is_referenced() or s.is_assigned())}
    return used - bound


def is_self_contained(node: ast.FunctionDef) -> bool:
    """Whether the function, its annotations aside, needs builtins only, and no decorator wraps it."""
    return not node.decorator_list and free_names(ast.unparse(node), future_annotations=True) <= BUILTINS


def _undocumented(node: ast.AST) -> ast.AST:
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(part):
            part.body = part.body[1:] or [ast.Pass()]
    return node


def _inner(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inner(child)


def _without_object(node: ast.FunctionDef) -> ast.FunctionDef | None:
    """A method as a function of its own, or None when it needs its object, its class or the scope of its class.

    The class's scope counts through defaults that are not literals; a method that uses its own name means another
    function by it.
    """
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default)]
    in_scope = {part.id for default in defaults for part in ast.walk(default) if isinstance(part, ast.Name)}
    if in_scope or names & {node.name, "super", "__class__"} or decorators not in ([], ["staticmethod"]):
        return None
    function = copy.deepcopy(node)
    function.decorator_list = []
    if decorators:
        return function
    arguments = function.args
    if arguments.posonlyargs or not arguments.args or arguments.args[0].arg in names:
        return None
    if len(arguments.defaults) == len(arguments.args):
        arguments.defaults = arguments.defaults[1:]
    del arguments.args[0]
    return function
