"""The operations of the grammar: Python expressions with typed holes.

`{x}` is what the operation works on, `{y}` the function's second argument, `{k}`, `{j}` and `{c}` are parameters. No
expression loops without bound, and none makes text or lists of a length that a number decides, so every composition
ends at once; what is undefined (the largest of nothing, a remainder by zero) raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Type = Literal["int", "str", "ints", "strs", "bool"]
# Letters of all generated text: few, so that a small model meets each often, and such as do not stand together in
# English or in code, so that a tokenizer's merges do not hide where one ends.
LETTERS = "bfkpz"

_LETTERS = tuple(map(repr, LETTERS))
# Constants that stand in the outputs to be read off: the more there are, the less can be learned by heart.
_TEXTS = (*_LETTERS, *(repr(a + b) for a in LETTERS for b in LETTERS))
_SMALL = range(1, 10)
_CUTS = range(1, 4)
_FEW = range(2, 6)
# Few thresholds, far apart: no handful of cases tells 6 from 7.
_BOUNDS = (0, 5, 10)


class Operation(NamedTuple):
    """`template` turns a `takes` (and, with `other`, the second argument, of that type) into a `gives`."""

    takes: Type
    gives: Type
    template: str
    parameters: Mapping[str, tuple[object, ...]]
    other: Type | None = None


def _unary(takes: Type, gives: Type, template: str, **parameters: object) -> Operation:
    return Operation(takes, gives, template, {name: tuple(values) for name, values in parameters.items()})  # type: ignore[call-overload]


def _binary(takes: Type, other: Type, gives: Type, *templates: str) -> list[Operation]:
    return [Operation(takes, gives, template, {}, other) for template in templates]


UNARY: tuple[Operation, ...] = (
    _unary("int", "int", "{x} + {k}", k=_SMALL),
    _unary("int", "int", "{x} - {k}", k=_SMALL),
    _unary("int", "int", "{x} * {k}", k=_FEW),
    _unary("int", "int", "{x} * {k} + {j}", k=_FEW, j=_SMALL),
    _unary("int", "int", "{x} * {k} - {j}", k=_FEW, j=_SMALL),
    _unary("int", "int", "{x} // {k}", k=_FEW),
    _unary("int", "int", "{x} % {k}", k=_FEW),
    _unary("int", "int", "{k} - {x}", k=range(0, 10)),
    _unary("int", "int", "abs({x})"),
    _unary("int", "int", "{x} * {x}"),
    _unary("int", "int", "max({x}, {k})", k=_BOUNDS),
    _unary("int", "int", "min({x}, {k})", k=_BOUNDS),
    _unary("int", "int", "{x} if {x} > {k} else {j}", k=_BOUNDS, j=range(20, 40)),
    _unary("int", "int", "{k} if {x} % 2 == 0 else {j}", k=range(10, 20), j=range(20, 30)),
    _unary("int", "bool", "{x} > {k}", k=_BOUNDS),
    _unary("int", "bool", "{x} % {k} == 0", k=_FEW),
    _unary("int", "str", "str({x})"),
    _unary("int", "str", "str({x}) + {c}", c=_TEXTS),
    _unary("int", "str", "{c} + str({x})", c=_TEXTS),
    _unary("int", "str", "{c} + str({x}) + {j}", c=_TEXTS, j=_TEXTS),
    _unary("int", "str", "{c} if {x} > {k} else {j}", k=_BOUNDS, c=_TEXTS, j=_TEXTS),
    _unary("int", "ints", "[int(d) for d in str({x})]"),
    _unary("int", "ints", "[{x}, {x} + {k}]", k=_SMALL),
    _unary("int", "ints", "[{k}, {x}, {j}]", k=_SMALL, j=_SMALL),
    _unary("int", "ints", "[{x}, {k}, {j}]", k=_SMALL, j=_SMALL),
    _unary("int", "ints", "[{x} * v for v in range({k})]", k=_FEW),
    _unary("str", "str", "{x}[::-1]"),
    _unary("str", "str", "{x}.upper()"),
    _unary("str", "str", "{x}.lower()"),
    _unary("str", "str", "{x}.title()"),
    _unary("str", "str", "{x}.swapcase()"),
    _unary("str", "str", "{x}[{k}:]", k=_CUTS),
    _unary("str", "str", "{x}[:{k}]", k=_CUTS),
    _unary("str", "str", "{x}[-{k}:]", k=_CUTS),
    _unary("str", "str", "{x}[:-{k}]", k=_CUTS),
    _unary("str", "str", "{x}[::{k}]", k=(2, 3)),
    _unary("str", "str", "{x} + {c}", c=_TEXTS),
    _unary("str", "str", "{c} + {x}", c=_TEXTS),
    _unary("str", "str", "{c} + {x} + {j}", c=_TEXTS, j=_TEXTS),
    _unary("str", "str", "{x} * {k}", k=(2, 3)),
    _unary("str", "str", "{x}.replace({c}, {j})", c=_LETTERS, j=("''", *_TEXTS)),
    _unary("str", "str", "''.join(sorted({x}))"),
    _unary("str", "str", "{x}[{k}:] + {x}[:{k}]", k=_CUTS),
    _unary("str", "str", "{x} + {x}[::-1]"),
    _unary("str", "str", "''.join(v for v in {x} if v != {c})", c=_LETTERS),
    _unary("str", "int", "len({x})"),
    _unary("str", "int", "{x}.count({c})", c=_LETTERS),
    _unary("str", "int", "{x}.find({c})", c=_LETTERS),
    _unary("str", "bool", "{c} in {x}", c=_LETTERS),
    _unary("str", "bool", "{x}.startswith({c})", c=_LETTERS),
    _unary("str", "strs", "list({x})"),
    _unary("str", "strs", "[{x}, {c}]", c=_TEXTS),
    _unary("str", "strs", "[{c}, {x}, {j}]", c=_TEXTS, j=_TEXTS),
    _unary("str", "strs", "{x}.split({c})", c=_LETTERS),
    _unary("ints", "ints", "[v + {k} for v in {x}]", k=_SMALL),
    _unary("ints", "ints", "[v - {k} for v in {x}]", k=_SMALL),
    _unary("ints", "ints", "[v * {k} for v in {x}]", k=_FEW),
    _unary("ints", "ints", "[v * {k} + {j} for v in {x}]", k=_FEW, j=_SMALL),
    _unary("ints", "ints", "[{k} - v for v in {x}]", k=_SMALL),
    _unary("ints", "ints", "[v % {k} for v in {x}]", k=_FEW),
    _unary("ints", "ints", "[v for v in {x} if v > {k}]", k=_BOUNDS),
    _unary("ints", "ints", "[v for v in {x} if v < {k}]", k=_BOUNDS),
    _unary("ints", "ints", "[v for v in {x} if v % {k} == 0]", k=_FEW),
    _unary("ints", "ints", "[abs(v) for v in {x}]"),
    _unary("ints", "ints", "sorted({x})"),
    _unary("ints", "ints", "sorted({x}, reverse=True)"),
    _unary("ints", "ints", "sorted(set({x}))"),
    _unary("ints", "ints", "{x}[::-1]"),
    _unary("ints", "ints", "{x}[{k}:]", k=_CUTS),
    _unary("ints", "ints", "{x}[:{k}]", k=_CUTS),
    _unary("ints", "ints", "{x}[-{k}:]", k=_CUTS),
    _unary("ints", "ints", "{x}[::2]"),
    _unary("ints", "ints", "{x}[{k}:] + {x}[:{k}]", k=_CUTS),
    _unary("ints", "ints", "{x} + [{k}]", k=_SMALL),
    _unary("ints", "ints", "[{k}] + {x}", k=_SMALL),
    _unary("ints", "ints", "[{k}] + {x} + [{j}]", k=_SMALL, j=_SMALL),
    _unary("ints", "ints", "{x} + [{k}, {j}]", k=_SMALL, j=_SMALL),
    _unary("ints", "int", "sum({x})"),
    _unary("ints", "int", "max({x})"),
    _unary("ints", "int", "min({x})"),
    _unary("ints", "int", "len({x})"),
    _unary("ints", "int", "{x}[{k}]", k=(0, 1, -1, -2)),
    _unary("ints", "int", "{x}.count({k})", k=_SMALL),
    _unary("ints", "int", "max({x}) - min({x})"),
    _unary("ints", "bool", "{k} in {x}", k=_SMALL),
    _unary("ints", "strs", "[str(v) for v in {x}]"),
    _unary("strs", "strs", "[v.upper() for v in {x}]"),
    _unary("strs", "strs", "[v[::-1] for v in {x}]"),
    _unary("strs", "strs", "[v[:{k}] for v in {x}]", k=_CUTS),
    _unary("strs", "strs", "[v[{k}:] for v in {x}]", k=_CUTS),
    _unary("strs", "strs", "[v + {c} for v in {x}]", c=_TEXTS),
    _unary("strs", "strs", "[{c} + v for v in {x}]", c=_TEXTS),
    _unary("strs", "strs", "[{c} + v + {j} for v in {x}]", c=_TEXTS, j=_TEXTS),
    _unary("strs", "strs", "[v for v in {x} if len(v) > {k}]", k=_CUTS),
    _unary("strs", "strs", "[v for v in {x} if {c} in v]", c=_LETTERS),
    _unary("strs", "strs", "sorted({x})"),
    _unary("strs", "strs", "sorted({x}, key=len)"),
    _unary("strs", "strs", "{x}[::-1]"),
    _unary("strs", "strs", "{x}[{k}:]", k=_CUTS),
    _unary("strs", "strs", "{x}[:{k}]", k=_CUTS),
    _unary("strs", "strs", "{x} + [{c}]", c=_TEXTS),
    _unary("strs", "strs", "[{c}] + {x}", c=_TEXTS),
    _unary("strs", "strs", "[{c}] + {x} + [{j}]", c=_TEXTS, j=_TEXTS),
    _unary("strs", "int", "len({x})"),
    _unary("strs", "ints", "[len(v) for v in {x}]"),
    _unary("strs", "ints", "[v.count({c}) for v in {x}]", c=_LETTERS),
    _unary("strs", "str", "{c}.join({x})", c=("''", "' '", "'-'", *_TEXTS)),
    _unary("strs", "str", "{x}[{k}]", k=(0, 1, -1)),
    _unary("strs", "str", "max({x}, key=len)"),
    _unary("strs", "bool", "{c} in {x}", c=_LETTERS),
)

BINARY: tuple[Operation, ...] = (
    *_binary("int", "int", "int", "{x} + {y}", "{x} - {y}", "{y} - {x}", "{x} * {y}", "{x} // {y}", "{x} % {y}"),
    *_binary("int", "int", "int", "max({x}, {y})", "min({x}, {y})"),
    *_binary("int", "int", "bool", "{x} > {y}", "{x} == {y}"),
    *_binary("int", "int", "ints", "[{x}, {y}]", "[{y}, {x}]"),
    *_binary("str", "int", "str", "{x}[{y}:]", "{x}[:{y}]", "{x}[{y}]", "{x} + str({y})", "str({y}) + {x}"),
    *_binary("str", "int", "int", "len({x}) + {y}", "len({x}) * {y}"),
    *_binary("str", "int", "bool", "len({x}) > {y}"),
    *_binary("str", "str", "str", "{x} + {y}", "{y} + {x}", "{x}.replace({y}, '')", "{x}.strip({y})"),
    *_binary("str", "str", "int", "{x}.count({y})", "{x}.find({y})"),
    *_binary("str", "str", "bool", "{y} in {x}", "{x}.endswith({y})"),
    *_binary("str", "str", "strs", "[{x}, {y}]", "{x}.split({y})"),
    *_binary("ints", "int", "ints", "[v + {y} for v in {x}]", "[v - {y} for v in {x}]", "[v * {y} for v in {x}]"),
    *_binary("ints", "int", "ints", "[v for v in {x} if v > {y}]", "[v for v in {x} if v < {y}]"),
    *_binary("ints", "int", "ints", "{x}[{y}:]", "{x}[:{y}]", "{x} + [{y}]", "[{y}] + {x}"),
    *_binary("ints", "int", "int", "{x}[{y}]", "{x}.count({y})"),
    *_binary("ints", "int", "bool", "{y} in {x}"),
    *_binary("ints", "ints", "ints", "{x} + {y}", "{y} + {x}", "[v for v in {x} if v in {y}]"),
    *_binary("ints", "ints", "ints", "[v for v in {x} if v not in {y}]", "[v + w for v, w in zip({x}, {y})]"),
    *_binary("ints", "ints", "int", "sum({x}) - sum({y})", "len({x}) + len({y})"),
    *_binary("strs", "str", "strs", "[v + {y} for v in {x}]", "[{y} + v for v in {x}]", "{x} + [{y}]", "[{y}] + {x}"),
    *_binary("strs", "str", "strs", "[v for v in {x} if {y} in v]", "[v for v in {x} if v.startswith({y})]"),
    *_binary("strs", "str", "str", "{y}.join({x})"),
    *_binary("strs", "str", "ints", "[v.count({y}) for v in {x}]"),
    *_binary("strs", "str", "bool", "{y} in {x}"),
)
