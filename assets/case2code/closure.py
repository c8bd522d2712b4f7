"""Makes a function self-contained: what it needs of its module, and of the standard library, goes before it. No I/O.

A name is followed only when its value can be told from the source alone: it is bound once in the whole module, by a
statement of the module's body (a function, an assignment or an import), and no function rebinds it as a global. An
assigned value must not be mentioned by a statement with effects, which could change it. Everything else is reported,
never guessed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from assets.case2code.functions import BUILTINS, free_names, normalised

Binding = ast.FunctionDef | ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Bundle:
    """A function and what it needs, as one source in the order of definition.

    `unresolved` are the names that cannot be followed: the bundle runs as in its module only where there are none.
    `brought` are the module's own names in it, beside the function; `imports` its import statements.
    """

    code: str
    imports: tuple[str, ...]
    brought: tuple[str, ...]
    unresolved: tuple[str, ...]


class Scope:
    """The body of a module: which statement binds each of its names.

    `module` is the dotted name, from which relative imports are made absolute.
    """

    def __init__(self, tree: ast.Module, module: str = "", *, is_package: bool = False) -> None:
        self.tree = tree
        self.module = module
        self.is_package = is_package

    @cached_property
    def bindings(self) -> dict[str, list[Binding]]:
        """The statements that bind each name that can be followed; several only for `import a.b; import a.c`."""
        found: dict[str, list[Binding]] = {}
        for statement in self.tree.body:
            for name, binding in self._bound_by(statement):
                found.setdefault(name, []).append(binding)
        return {
            name: made
            for name, made in found.items()
            if name not in self._rebound
            and _one_value(made)
            and not (name in self._touched and isinstance(made[0], ast.Assign | ast.AnnAssign))
        }

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that the module binds in any way: where it is a builtin's too, the module's is meant."""
        return frozenset(name for statement in self.tree.body for name in _all_bound(statement))

    @cached_property
    def future(self) -> bool:
        """Whether annotations are never evaluated (PEP 563)."""
        return any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__" and _imports(node, "annotations")
            for node in self.tree.body
        )

    @cached_property
    def positions(self) -> dict[int, int]:
        """The place of each statement in the module's body, by identity."""
        return {id(statement): place for place, statement in enumerate(self.tree.body)}

    @cached_property
    def _rebound(self) -> set[str]:
        """Names bound by a class, inside a compound statement or by a function that declares them global."""
        names = {name for node in ast.walk(self.tree) if isinstance(node, ast.Global) for name in node.names}
        return names.union(*(_all_bound(statement) for statement in self._effects))

    @cached_property
    def _touched(self) -> set[str]:
        """Names that a statement with effects mentions."""
        parts = (part for statement in self._effects for part in _outside_functions(statement))
        return {part.id for part in parts if isinstance(part, ast.Name)}

    @cached_property
    def _effects(self) -> list[ast.stmt]:
        """The statements of the body that are no plain function, assignment or import."""
        return [statement for statement in self.tree.body if not any(True for _ in self._bound_by(statement))]

    def _bound_by(self, statement: ast.stmt) -> Iterator[tuple[str, Binding]]:
        """The names a statement of the body binds, each with a statement that binds it alone."""
        match statement:
            case ast.FunctionDef():
                yield statement.name, statement
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                yield name, statement
            case ast.Import():
                for alias in statement.names:
                    yield alias.asname or alias.name.partition(".")[0], ast.Import([alias])
            case ast.ImportFrom() if source := self._absolute(statement):
                for alias in statement.names:
                    if alias.name != "*":
                        yield alias.asname or alias.name, ast.ImportFrom(source, [alias], 0)

    def _absolute(self, statement: ast.ImportFrom) -> str:
        """The module imported from, or "" for a relative import above the top."""
        if not statement.level:
            return statement.module or ""
        parts = self.module.split(".") if self.module else []
        parts = parts[: len(parts) - statement.level + self.is_package]
        return ".".join([*parts, statement.module] if statement.module else parts)


def bundle(node: ast.FunctionDef, scope: Scope, *, docstrings: bool = True) -> Bundle:
    """The function with all that it reaches: functions, constants and standard-library imports of its module."""
    reached: dict[str, list[Binding]] = {}
    unresolved: set[str] = set()
    waiting = list(_needed(node, scope))
    while waiting:
        name = waiting.pop()
        found = scope.bindings.get(name, [])
        if name in reached or (name == node.name and found == [node]):
            continue
        if not found or name == node.name or not all(map(_is_available, found)):
            unresolved.add(name)
            continue
        reached[name] = found
        waiting += [more for binding in found for more in _needed(binding, scope)]
    return _written(node, reached, unresolved, scope, docstrings)


def _written(
    node: ast.FunctionDef, reached: dict[str, list[Binding]], unresolved: set[str], scope: Scope, docstrings: bool
) -> Bundle:
    imports = {
        ast.unparse(binding)
        for found in reached.values()
        for binding in found
        if isinstance(binding, ast.Import | ast.ImportFrom)
    }
    own = [(name, found[0]) for name, found in reached.items() if not isinstance(found[0], ast.Import | ast.ImportFrom)]
    own.sort(key=lambda item: scope.positions[id(item[1])])
    place = scope.positions.get(id(node), len(scope.positions))
    before = [statement for _, statement in own if scope.positions[id(statement)] < place]
    after = [statement for _, statement in own if scope.positions[id(statement)] > place]
    header = (["from __future__ import annotations"] if scope.future else []) + sorted(imports)
    parts = ["".join(f"{line}\n" for line in header)] if header else []
    parts += [normalised(statement, docstrings=docstrings) for statement in [*before, node, *after]]
    return Bundle("\n".join(parts), tuple(sorted(imports)), tuple(name for name, _ in own), tuple(sorted(unresolved)))


def _needed(statement: Binding, scope: Scope) -> set[str]:
    """The names a statement takes from outside itself that are not builtins, or hide one."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return set()
    names = free_names(ast.unparse(statement), future_annotations=scope.future)
    if isinstance(statement, ast.FunctionDef) and _mentions(statement, statement.name):
        names.add(statement.name)
    return {name for name in names if name in scope.names or name not in BUILTINS}


def _is_available(binding: Binding) -> bool:
    """Whether it can be brought along: an import only of the standard library."""
    match binding:
        case ast.Import():
            return binding.names[0].name.partition(".")[0] in sys.stdlib_module_names
        case ast.ImportFrom():
            return (binding.module or "").partition(".")[0] in sys.stdlib_module_names
    return True


def _one_value(bindings: list[Binding]) -> bool:
    return len(bindings) == 1 or all(isinstance(binding, ast.Import) for binding in bindings)


def _imports(statement: ast.ImportFrom, name: str) -> bool:
    return any(alias.name == name for alias in statement.names)


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what lies in it, except the bodies of functions and classes: those do not run here."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _outside_functions(child)


def _all_bound(statement: ast.stmt) -> Iterable[str]:
    """Every name that a statement of a module's body binds in any way, in whichever branch."""
    for part in _outside_functions(statement):
        match part:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield part.name
            case ast.Name(ctx=ast.Store() | ast.Del()):
                yield part.id
            case ast.alias():
                yield part.asname or part.name.partition(".")[0]
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                yield name
