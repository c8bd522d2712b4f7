"""Values as JSON and back: builtin containers and a few classes of the standard library, by value.

Everything that is read is built here, from data and by a closed table, so that no message can make an object with a
behaviour of its own. What does not travel by value (`link` decides) becomes a reference.
"""

from __future__ import annotations

import builtins
import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

Tree = Any
SAFE_INTEGER = 1 << 63
FACTORIES: dict[str, Any] = {"int": int, "float": float, "str": str, "list": list, "dict": dict, "set": set}
# Classes that make nothing but data. Not `type`: who can call it can make classes with an `__eq__` of their own.
TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        bool, bytearray, bytes, complex, dict, float, frozenset, int, list, range, set, str, tuple,
        *(found for found in vars(builtins).values() if isinstance(found, type) and issubclass(found, BaseException)),
    )
}  # fmt: skip


def encode(value: Any, link: Callable[[Any], Tree]) -> Tree:
    """The JSON tree of a value; raises RecursionError for one that is too deep or contains itself.

    Instances of classes derived from these travel as the plain value they hold.
    """
    kind = type(value)
    if kind is str or kind is float or value is None or kind is bool:
        return value
    if kind is int:
        return value if -SAFE_INTEGER < value < SAFE_INTEGER else ["int", hex(value)]
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return [kind.__name__, [encode(item, link) for item in value]]
    if kind is dict or kind is Counter or kind is OrderedDict:
        return [kind.__name__, _pairs(value, link)]
    if isinstance(value, type) and TYPES.get(value.__name__) is value:
        return ["type", value.__name__]
    if kind in ENCODERS:
        return ENCODERS[kind](value, link)
    for base, plain in PLAIN:
        if issubclass(kind, base):
            return encode(plain(value), link)
    return link(value)


def decode(tree: Tree, follow: Callable[[list[Tree]], Any]) -> Any:
    """The value of a tree; `follow` finds what a reference stands for.

    Raises ValueError, TypeError, LookupError, ArithmeticError or RecursionError for what `encode` never makes.
    """
    if not isinstance(tree, list):
        if isinstance(tree, dict):
            raise ValueError("an object of JSON stands for nothing")
        return tree
    if len(tree) != 2 or not isinstance(tree[0], str):
        raise ValueError("a value is a kind and its content")
    reader = READERS.get(tree[0])
    return follow(tree) if reader is None else reader(tree[1], follow)


def _pairs(value: Any, link: Callable[[Any], Tree]) -> Tree:
    return [[encode(key, link), encode(item, link)] for key, item in value.items()]


def _items(content: Tree, follow: Callable[[list[Tree]], Any]) -> list[Any]:
    if not isinstance(content, list):
        raise TypeError("a list was expected")
    return [decode(item, follow) for item in content]


def _read_pairs(content: Tree, follow: Callable[[list[Tree]], Any]) -> dict[Any, Any]:
    return {decode(key, follow): decode(item, follow) for key, item in content}


def _encode_default(value: Any, link: Callable[[Any], Tree]) -> Tree:
    factory = next((name for name, known in FACTORIES.items() if known is value.default_factory), None)
    return ["defaultdict", [factory, _pairs(value, link)]]


ENCODERS: dict[type, Callable[[Any, Callable[[Any], Tree]], Tree]] = {
    bytes: lambda value, link: ["bytes", value.hex()],
    bytearray: lambda value, link: ["bytearray", value.hex()],
    complex: lambda value, link: ["complex", [value.real, value.imag]],
    range: lambda value, link: ["range", [encode(part, link) for part in (value.start, value.stop, value.step)]],
    deque: lambda value, link: ["deque", [value.maxlen, [encode(item, link) for item in value]]],
    defaultdict: _encode_default,
    Decimal: lambda value, link: ["Decimal", str(value)],
    Fraction: lambda value, link: ["Fraction", [encode(value.numerator, link), encode(value.denominator, link)]],
    datetime.date: lambda value, link: ["date", value.isoformat()],
    datetime.time: lambda value, link: ["time", [value.isoformat(), value.fold]],
    datetime.datetime: lambda value, link: ["datetime", [value.isoformat(), value.fold]],
    datetime.timedelta: lambda value, link: ["timedelta", [value.days, value.seconds, value.microseconds]],
    type(Ellipsis): lambda value, link: ["Ellipsis", None],
}
PLAIN: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (int, int.__index__),
    (float, float.__float__),
    (str, lambda value: str.__getitem__(value, slice(None))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (list, lambda value: list(list.__iter__(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
    (dict, lambda value: dict(dict.items(value))),
)
READERS: dict[str, Callable[[Tree, Callable[[list[Tree]], Any]], Any]] = {
    "int": lambda content, follow: int(content, 16),
    "list": _items,
    "tuple": lambda content, follow: tuple(_items(content, follow)),
    "set": lambda content, follow: set(_items(content, follow)),
    "frozenset": lambda content, follow: frozenset(_items(content, follow)),
    "dict": _read_pairs,
    "Counter": lambda content, follow: Counter(_read_pairs(content, follow)),
    "OrderedDict": lambda content, follow: OrderedDict(_read_pairs(content, follow)),
    "type": lambda content, follow: TYPES[content],
    "bytes": lambda content, follow: bytes.fromhex(content),
    "bytearray": lambda content, follow: bytearray.fromhex(content),
    "complex": lambda content, follow: complex(*content),
    "range": lambda content, follow: range(*_items(content, follow)),
    "deque": lambda content, follow: deque(_items(content[1], follow), content[0]),
    "defaultdict": lambda content, follow: defaultdict(FACTORIES.get(content[0]), _read_pairs(content[1], follow)),
    "Decimal": lambda content, follow: Decimal(content),
    "Fraction": lambda content, follow: Fraction(*_items(content, follow)),
    "date": lambda content, follow: datetime.date.fromisoformat(content),
    "time": lambda content, follow: datetime.time.fromisoformat(content[0]).replace(fold=content[1]),
    "datetime": lambda content, follow: datetime.datetime.fromisoformat(content[0]).replace(fold=content[1]),
    "timedelta": lambda content, follow: datetime.timedelta(*content),
    "Ellipsis": lambda content, follow: ...,
}
