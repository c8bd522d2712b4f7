"""Reprs that can be compared between two runs: sets sorted, floats within a tolerance. No I/O."""

from __future__ import annotations

import ast
import math


def sorted_sets(text: str) -> str:
    """The repr of a value with the elements of its sets in a fixed order: Python's depends on the hash seed.

    Text that is no literal, or holds no set, comes back unchanged.
    """
    if "{" not in text:
        return text
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    sets = [node for node in ast.walk(tree) if isinstance(node, ast.Set)]
    # Inner sets first: the order of the outer one is by how its elements are written.
    for node in reversed(sets):
        node.elts.sort(key=ast.unparse)
    return ast.unparse(tree) if sets else text


def same_repr(first: str, second: str, tolerance: float) -> bool:
    """Whether two reprs are of equal values: equal text, or literals that differ only in the order of sets, or in
    floats by at most `tolerance`, relative and absolute."""
    if first == second:
        return True
    if sorted_sets(first) == sorted_sets(second):
        return True
    try:
        return _close(ast.literal_eval(first), ast.literal_eval(second), tolerance)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return False


def _close(first: object, second: object, tolerance: float) -> bool:
    if type(first) is not type(second):
        return False
    match first, second:
        case float(), float():
            return math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
        case (list(), list()) | (tuple(), tuple()):
            return len(first) == len(second) and all(map(lambda a, b: _close(a, b, tolerance), first, second))
        case dict(), dict():
            return list(first) == list(second) and all(_close(first[key], second[key], tolerance) for key in first)
    return first == second
