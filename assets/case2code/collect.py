"""From modules to functions that run on their own. No I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from assets.case2code.closure import Scope, bundle
from assets.case2code.functions import Found, find_functions, is_self_contained, normalised
from assets.case2code.modules import Module
from assets.case2code.schema import Function
from assets.core.ids import content_id


@dataclass(frozen=True)
class Rejected:
    """A function that is no program to learn, or a module that does not parse, and why.

    Beside the filter's reasons: `not_python`; `unresolved` (what it needs cannot be brought along); `duplicate` (an
    earlier one has the same code).
    """

    module: str
    name: str
    reason: str
    detail: str = ""


def collect(
    modules: Iterable[Module], *, closure: bool, methods: bool, docstrings: bool
) -> Iterator[Function | Rejected]:
    """Every function of the modules, kept or rejected, in order.

    With `closure` a function brings what it needs of its module and of the standard library; without, only those that
    need builtins alone are kept. `methods` adds methods that need no object (`find_functions`).
    """
    seen: set[str] = set()
    for module in modules:
        try:
            tree = ast.parse(module.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            yield Rejected(module.module, "<module>", "not_python", str(error))
            continue
        scope = Scope(tree, module.module, is_package=module.is_package)
        for found in find_functions(tree, methods=methods):
            row = _function(module, scope, found, closure, docstrings)
            if isinstance(row, Function) and row.code in seen:
                row = Rejected(module.module, found.name, "duplicate")
            elif isinstance(row, Function):
                seen.add(row.code)
            yield row


def _function(module: Module, scope: Scope, found: Found, closure: bool, docstrings: bool) -> Function | Rejected:
    if found.reason is not None:
        return Rejected(module.module, found.name, found.reason)
    self_contained = is_self_contained(found.node)
    if closure:
        made = bundle(found.node, scope, docstrings=docstrings)
        code, missing = made.code, ", ".join(made.unresolved)
    else:
        code, missing = normalised(found.node, docstrings=docstrings), "" if self_contained else "more than builtins"
    if missing:
        return Rejected(module.module, found.name, "unresolved", missing)
    return Function(
        id=content_id(module.module, found.name, code),
        package=module.package,
        module=module.module,
        name=found.name,
        func_name=found.node.name,
        code=code,
        self_contained=self_contained,
        parents=[module.id],
    )
