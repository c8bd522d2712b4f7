"""What code a function depends on, read from the source without importing anything.

The closure of a function is its own body, the definitions of its module that the body reaches, and every first-party
module that these import, whole, with all that those import. Comments, docstrings and layout do not count. Of a system's
config module only the names that are imported count, and of their classes only methods: fields count by their values.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import inspect
import symtable
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from assets.core.home import CHECKOUT

FIRST_PARTY = ("orchestration", "assets", "models")
# What carries rows but cannot change them: an edit here must not rebuild every asset of the lake.
MACHINERY = (
    "assets.core.checkpoint_recipe",
    "assets.core.errors",
    "assets.core.generation",
    "assets.core.home",
    "assets.core.lake",
    "assets.core.launching",
    "assets.core.ledger",
    "assets.core.pod",
    "assets.core.progress",
    "assets.core.recipe",
    "assets.core.resources",
    "assets.core.step_messages",
    "assets.core.tracking",
    "assets.core.trainer",
)


@cache
def _module_file(module: str, root: Path) -> Path | None:
    path = root / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement of a tree, in no order. Expressions are not looked into: they hold none."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        for name in BLOCKS:
            block = getattr(node, name, None)
            if isinstance(block, list):
                waiting.extend(block)
        if isinstance(node, ast.stmt):
            yield node


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in [tree, *statements(tree)]:
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


@cache
def _parse(path: Path, changed_ns: int) -> ast.Module:
    return _without_docstrings(ast.parse(path.read_text()))


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file without docstrings, parsed again only when the file changed."""
    return _parse(path, path.stat().st_mtime_ns)


def imported_modules(tree: ast.AST, module: str) -> Iterator[tuple[str, str | None]]:
    """(module, name or None) for every import anywhere in a tree; relative imports are resolved against `module`.

    The module of a package's `__init__.py` is named `package.__init__` here.
    """
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((base, alias.name) for alias in node.names)


def _first_party(imports: Iterable[tuple[str, str | None]], root: Path) -> set[str]:
    """Names of the first-party modules that these imports load, without the packages above them.

    Of a config module, and of a package that passes names on, each imported name is one of its own:
    `assets.toy.config:SIZES`.
    """
    found = set()
    for module, name in imports:
        if module.split(".")[0] not in FIRST_PARTY:
            continue
        inner = f"{module}.{name}" if name else module
        if name and _module_file(inner, root):
            found.add(inner)
        else:
            by_name = name not in (None, "*") and (_is_config(module) or _is_package(module, root))
            found.add(f"{module}:{name}" if by_name else module)
    return found


def _libraries(imports: Iterable[tuple[str, str | None]]) -> set[str]:
    return {name.split(".")[0] for name, _ in imports} - set(FIRST_PARTY) - sys.stdlib_module_names


@cache
def _module_imports(path: Path, changed_ns: int, module: str, root: Path) -> tuple[str, frozenset[str], frozenset[str]]:
    """Source, first-party imports and libraries of a module, or of one name of a config module or package."""
    tree = _parse(path, changed_ns)
    name, _, wanted = module.partition(":")
    if _is_config(name):
        tree = ast.Module(body=[_without_fields(statement) for statement in tree.body], type_ignores=[])
    if wanted:
        tree = _reached(tree, {wanted})
    imports = list(imported_modules(tree, f"{name}.__init__" if path.name == "__init__.py" else name))
    return ast.dump(tree), frozenset(_first_party(imports, root)), frozenset(_libraries(imports))


def _without_fields(statement: ast.stmt) -> ast.stmt:
    if not isinstance(statement, ast.ClassDef):
        return statement
    statement = copy.copy(statement)
    statement.body = [node for node in statement.body if isinstance(node, ast.FunctionDef)] or [ast.Pass()]
    return statement


def _bound_names(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module defines or may change."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Assign):
        return _names(*statement.targets)
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        return _names(statement.target)
    if isinstance(statement, ast.If) and _names(statement.test) == {"TYPE_CHECKING"}:
        return set()
    # A call, a condition, a loop: it may change whatever it names.
    inner = [node for node in ast.walk(statement) if isinstance(node, ast.stmt) and node is not statement]
    return _names(statement).union(*(_bound_names(node) for node in inner))


def _names(*nodes: ast.AST) -> set[str]:
    return {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}


@cache
def _used_names(statement: ast.stmt) -> frozenset[str]:
    """The names that a statement looks up in its module: a parameter or a local variable hides one of the same name."""
    return _global_names(ast.unparse(ast.fix_missing_locations(statement)))


@cache
def _global_names(source: str) -> frozenset[str]:
    found: set[str] = set()
    scopes = [symtable.symtable(source, "<statement>", "exec")]
    while scopes:
        scope = scopes.pop()
        is_top = scope.get_type() == "module"
        looked_up = (symbol for symbol in scope.get_symbols() if is_top or symbol.is_global())
        found |= {symbol.get_name() for symbol in looked_up if symbol.is_referenced() or not is_top}
        scopes += scope.get_children()
    return frozenset(found)


def _reached(tree: ast.Module, names: set[str]) -> ast.Module:
    """The module's own statements that define the names, and what those use, in file order."""
    defines: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _bound_names(statement):
            defines.setdefault(name, []).append(statement)
    reached: list[ast.stmt] = []
    waiting, seen = set(names), set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for statement in defines.get(name, []):
            if statement not in reached:
                reached.append(statement)
                waiting |= _used_names(statement) - seen
    if reached:
        reached += [statement for statement in defines.get("*", []) if statement not in reached]
    used = names.union(*(_used_names(statement) for statement in reached))
    ordered = sorted(reached, key=lambda statement: statement.lineno)
    return ast.Module(body=[_narrowed(statement, used) for statement in ordered], type_ignores=[])


def _narrowed(statement: ast.stmt, used: set[str]) -> ast.stmt:
    """An import statement with only the names that are used, so that a neighbour's import does not count."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return statement
    aliases = [alias for alias in statement.names if (alias.asname or alias.name).split(".")[0] in used | {"*"}]
    if isinstance(statement, ast.Import):
        return ast.Import(names=aliases)
    return ast.ImportFrom(module=statement.module, names=aliases, level=statement.level)


def _undecorated(statement: ast.stmt, function: Callable[..., Any]) -> ast.stmt:
    """The entry function without its decorators: what they declare is fingerprinted by value."""
    if isinstance(statement, ast.FunctionDef) and statement.name == function.__name__:
        statement = copy.copy(statement)
        statement.decorator_list = []
    return statement


@cache
def code_closure(function: Callable[..., Any], root: Path = CHECKOUT) -> dict[str, str]:
    """Digests of the code a function depends on: own definitions, first-party modules, versions of libraries.

    Read once in a process, when the asset is declared: what is edited afterwards is not what the process runs. Raises
    TypeError for a function that is not defined at the top of its module.
    """
    module = function.__module__
    path = Path(inspect.getsourcefile(function) or "")
    tree = ast.Module(body=[_undecorated(node, function) for node in parse(path).body], type_ignores=[])
    body = _reached(tree, {function.__name__})
    if not body.body or function.__qualname__ != function.__name__:
        raise TypeError(f"{function.__qualname__} is not defined at the top of its module: its code cannot be followed")
    return closure_of_tree(body, f"{module}.__init__" if path.name == "__init__.py" else module, root)


def module_closure(module: str, root: Path = CHECKOUT) -> dict[str, str]:
    """As `code_closure`, for a whole module, which is not imported. Raises ValueError when there is none."""
    path = _module_file(module, root)
    if path is None:
        raise ValueError(f"no module {module} in {root}")
    return closure_of_tree(parse(path), module, root)


def closure_of_tree(tree: ast.Module, module: str, root: Path = CHECKOUT) -> dict[str, str]:
    """As `code_closure`, for a syntax tree."""
    digests = {module: _digest(ast.dump(tree))}
    imports = list(imported_modules(tree, module))
    libraries = _libraries(imports)
    waiting = _first_party(imports, root) - {module}
    while waiting:
        name = waiting.pop()
        file = _module_file(name.partition(":")[0], root)
        if file is None or name in digests or _changes_no_row(name):
            continue
        source, inner, outside = _module_imports(file, file.stat().st_mtime_ns, name, root)
        digests[name] = _digest(source)
        libraries |= outside
        waiting |= inner - digests.keys()
    digests |= {f"library:{name}": version for name in sorted(libraries) if (version := library_version(name))}
    return dict(sorted(digests.items()))


# Libraries that declare or show, but do not compute.
SILENT_LIBRARIES = frozenset({"dagster", "tqdm", "rich", "matplotlib", "mlflow", "pydantic"})
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow"}


def _is_config(module: str) -> bool:
    return module.startswith("assets.") and module.endswith(".config")


def _is_package(module: str, root: Path) -> bool:
    file = _module_file(module, root)
    return file is not None and file.name == "__init__.py"


def _changes_no_row(module: str) -> bool:
    """Machinery, and a system's pictures: a better plot must not train a model again."""
    module = module.partition(":")[0]
    return module.endswith(".plots") or any(module == name or module.startswith(f"{name}.") for name in MACHINERY)


@cache
def library_version(name: str) -> str | None:
    """The installed version of a library that computes, None for others."""
    if name in SILENT_LIBRARIES:
        return None
    try:
        return metadata.version(DISTRIBUTIONS.get(name, name))
    except metadata.PackageNotFoundError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
