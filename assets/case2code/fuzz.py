"""The input writer that needs no model: random arguments of nine types, guided by what the signature tells. No I/O."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from random import Random

from assets.case2code.schema import Arguments, Function, Written

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CHARACTERS = LETTERS + LETTERS.upper() + "0123456789 _-.,:;/\\'\"()[]{}<>=+*%&#@!?\n\t"
WORDS = ("", "a", "hello", "Hello World", "foo_bar", "one,two", "key=value", "/usr/lib/x.py", "<b>x</b>", "12", "-3.5")


def _int(rng: Random) -> int:
    return rng.choice((rng.randint(0, 12), rng.randint(-20, 100), rng.randint(-(10**6), 10**6)))


def _float(rng: Random) -> float:
    return rng.choice((round(rng.random(), 3), round(rng.uniform(-100, 100), 2), float(rng.randint(-3, 12))))


def _str(rng: Random) -> str:
    drawn = "".join(rng.choices(CHARACTERS, k=rng.randint(1, 12)))
    return rng.choice((rng.choice(WORDS), "".join(rng.choices(LETTERS, k=rng.randint(1, 8))), drawn))


def _dict(rng: Random) -> dict[str, int]:
    return {_str(rng): _int(rng) for _ in range(rng.randint(0, 4))}


# The nine types of the specification's fuzzing setting; what each draws is our default.
GENERATORS: Mapping[str, Callable[[Random], object]] = {
    "int": _int,
    "float": _float,
    "str": _str,
    "list[int]": lambda rng: [_int(rng) for _ in range(rng.randint(0, 6))],
    "list[str]": lambda rng: [_str(rng) for _ in range(rng.randint(0, 5))],
    "bytes": lambda rng: rng.choice((_str(rng).encode(), rng.randbytes(rng.randint(0, 8)))),
    "bool": lambda rng: rng.random() < 0.5,
    "None": lambda rng: None,
    "dict": _dict,
}
TYPES = tuple(GENERATORS)
LISTS = ("list[int]", "list[str]")

# What a word in an annotation stands for.
ANNOTATIONS: Mapping[str, tuple[str, ...]] = {
    "int": ("int",),
    "float": ("float", "int"),
    "str": ("str",),
    "bytes": ("bytes",),
    "bytearray": ("bytes",),
    "bool": ("bool",),
    "None": ("None",),
    "Optional": ("None",),
    "dict": ("dict",),
    "Mapping": ("dict",),
    **dict.fromkeys(("list", "List", "tuple", "Sequence", "Iterable", "Collection", "Iterator"), LISTS),
}
# What programmers call arguments of a type.
NAMES_OF_TYPES: Mapping[tuple[str, ...], str] = {
    ("int",): "n i j k x y w h m count num number size index width height length year month day",
    ("float", "int"): "r g b ratio angle seconds",
    ("str",): "s text string name path line word filename prefix suffix sep msg pattern url tag",
    ("bytes", "str"): "data buf buffer chunk payload",
    LISTS: "l lst seq items values list args iterable numbers lines words names parts",
    ("dict",): "d dct mapping kwds kwargs headers environ",
}
NAMES = {name: types for types, names in NAMES_OF_TYPES.items() for name in names.split()}


def fuzz_function(function: Function, n_tuples: int, guidance: float, seed: int) -> Written:
    """The inputs of one function as the fuzzer writes them: those of `fuzz_inputs`, seeded by the function's id."""
    tree = ast.parse(function.code)
    (node,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function.func_name)
    return Written(function.id, fuzz_inputs(node, n_tuples, guidance, Random(f"{seed}:{function.id}")))


def fuzz_inputs(function: ast.FunctionDef, n_tuples: int, guidance: float, rng: Random) -> list[Arguments]:
    """Up to `n_tuples` distinct calls of a function, each with a value for every argument that takes a keyword.

    For each argument a type is drawn: with probability `guidance` one that its annotation, default or name suggests,
    otherwise any of the nine.
    """
    hints = argument_types(function)
    calls: dict[Arguments, None] = {}
    for _ in range(n_tuples):
        calls[tuple((name, _value(suggested, guidance, rng)) for name, suggested in hints.items())] = None
    return list(calls)


def argument_types(function: ast.FunctionDef) -> dict[str, tuple[str, ...]]:
    """The types that the signature suggests for each argument: by annotation, else default, else name, else none.

    Arguments that only a name can give count where they have no default.
    """
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    n_required = len(positional) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [None] * n_required + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True))[len(arguments.posonlyargs) :]
    pairs += [pair for pair in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if pair[1] is None]
    return {argument.arg: _suggested(argument, default) for argument, default in pairs}


def _suggested(argument: ast.arg, default: ast.expr | None) -> tuple[str, ...]:
    words = re.findall(r"\w+", ast.unparse(argument.annotation)) if argument.annotation else []
    types = tuple(kind for word in words for kind in ANNOTATIONS.get(word, ()))
    if not types and isinstance(default, ast.Constant) and default.value is not None:
        types = ANNOTATIONS.get(type(default.value).__name__, ())
    return types or NAMES.get(argument.arg.lower().strip("_"), ())


def _value(suggested: tuple[str, ...], guidance: float, rng: Random) -> str:
    guided = suggested and rng.random() < guidance
    return repr(GENERATORS[rng.choice(suggested if guided else TYPES)](rng))
