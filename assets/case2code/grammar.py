"""Mini-functions from a typed grammar, and inputs for them: programs whose behaviour a small model can induce.

A function applies one to three operations to its first argument; the second argument, where there is one, enters by
one of them. All functions have the same name and names of arguments, which so give nothing away.

The functions are of this module's own making, end at once and touch nothing, so `run` executes them in this
process. Text from a model never comes here: it goes to the sandbox.
"""

from __future__ import annotations

import ast
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from assets.case2code.grammar_operations import BINARY, LETTERS, UNARY, Operation, Type
from assets.case2code.schema import Cases, Output

Signature = tuple[Type, ...]
Value = int | str | list[int] | list[str]

# A pair is half as likely as a single argument: two in three functions of the official test set have one argument.
SIGNATURES: tuple[tuple[Signature, int], ...] = (
    (("int",), 4),
    (("str",), 4),
    (("ints",), 4),
    (("strs",), 2),
    (("int", "int"), 2),
    (("str", "int"), 1),
    (("str", "str"), 1),
    (("ints", "int"), 2),
    (("ints", "ints"), 1),
    (("strs", "str"), 1),
)
NAME, ARGUMENTS = "f", ("x", "y")
CANONICAL_INPUTS = 32
MAX_LENGTH = 4
# Numbers that a prompt shows: small ones are few, and one or two tokens. The canonical inputs need more of them.
SHOWN_INTS, CANONICAL_INTS = (-5, 12), (-30, 60)
# Four cases of a function that nearly always answers False say nothing of it.
MAX_EQUAL_SHARE = 0.75
# Larger results would make prompts that are mostly digits; 1 in 20 functions is drawn again for it.
MAX_OUTPUT_CHARACTERS = 40


@dataclass(frozen=True)
class MiniFunction:
    """Source text of one function, as `ast.unparse` writes it, and what it is made of."""

    source: str
    signature: Signature
    n_operations: int


def mini_functions(seed: int, weights: Sequence[float] = (1.0, 2.0, 1.0)) -> Iterator[MiniFunction]:
    """Functions without end, the same for the same arguments, some more than once.

    `weights[i]` is how often a function has i + 1 operations, relative to the others.
    """
    rng = random.Random(f"case2code:functions:{seed}")
    signatures, frequencies = zip(*SIGNATURES, strict=True)
    while True:
        signature = rng.choices(signatures, frequencies)[0]
        wanted = rng.choices(range(1, len(weights) + 1), weights)[0]
        chain = _chain(signature, wanted, rng)
        if chain:
            yield _function(signature, chain, rng)


def _chain(signature: Signature, length: int, rng: random.Random) -> list[Operation] | None:
    """Operations that fit each other, one of them with the second argument; None where this draw led nowhere."""
    entry = rng.randrange(length) if len(signature) == 2 else -1
    given: Type = signature[0]
    chain: list[Operation] = []
    for place in range(length):
        other = signature[1] if place == entry else None
        fitting = [o for o in (BINARY if other else UNARY) if o.takes == given and o.other == other]
        if not fitting:
            return None
        chain.append(rng.choices(fitting, [_frequency(operation) for operation in fitting])[0])
        given = chain[-1].gives
    return chain


def _frequency(operation: Operation) -> float:
    """Operations with many constants are drawn more often: evenly drawn, most functions would be the few others."""
    return math.sqrt(math.prod(map(len, operation.parameters.values())))


def _function(signature: Signature, chain: Sequence[Operation], rng: random.Random) -> MiniFunction:
    arguments = ARGUMENTS[: len(signature)]
    first, second = ARGUMENTS
    lines, value = [], first
    for operation in chain:
        if operation.template.count("{x}") > 1 and value != first:
            lines.append(f"{first} = {value}")
            value = first
        parameters = {key: rng.choice(choices) for key, choices in operation.parameters.items()}
        value = f"({operation.template.format(x=value, y=second, **parameters)})"
    body = "\n    ".join([*lines, f"return {value}"])
    source = ast.unparse(ast.parse(f"def {NAME}({', '.join(arguments)}):\n    {body}"))
    return MiniFunction(source, signature, len(chain))


def draw_inputs(
    signature: Signature, n: int, rng: random.Random, bounds: tuple[int, int] = SHOWN_INTS
) -> list[tuple[Value, ...]]:
    """`n` tuples of arguments, all different, with numbers within `bounds`; of a single number there are 18."""
    found: dict[str, tuple[Value, ...]] = {}
    while len(found) < n:
        values = tuple(_value(wanted, rng, bounds) for wanted in signature)
        found.setdefault(repr(values), values)
    return list(found.values())


def canonical_inputs(signature: Signature) -> list[tuple[Value, ...]]:
    """The inputs that decide which functions of a signature behave alike: the same everywhere and for ever."""
    rng = random.Random(f"case2code:canonical:{','.join(signature)}")
    return draw_inputs(signature, CANONICAL_INPUTS, rng, CANONICAL_INTS)


def _value(wanted: Type, rng: random.Random, bounds: tuple[int, int]) -> Value:
    if wanted == "int":
        return rng.randint(*bounds)
    if wanted == "str":
        return _word(rng)
    if wanted == "ints":
        return [rng.randint(*bounds) for _ in range(_length(rng))]
    return [_word(rng) for _ in range(_length(rng))]


def _word(rng: random.Random) -> str:
    """Letters, of which one in five is upper case: methods that change the case must show."""
    letters = rng.choices(LETTERS, k=_length(rng))
    return "".join(letter.upper() if rng.random() < 0.2 else letter for letter in letters)


def _length(rng: random.Random) -> int:
    """Mostly long enough to show what is done; one in ten may be too short for an index."""
    return rng.randint(0, MAX_LENGTH) if rng.random() < 0.1 else rng.randint(2, MAX_LENGTH)


def run(function: MiniFunction, inputs: Sequence[tuple[Value, ...]]) -> list[Output]:
    """What each call answers. Only for functions of this grammar: it executes their text in this process."""
    namespace: dict[str, Callable[..., object]] = {}
    exec(function.source, namespace)  # type: ignore[arg-type]
    call, outputs = namespace[NAME], []
    for values in inputs:
        try:
            outputs.append(Output(repr(call(*values)), is_error=False))
        except Exception as error:
            outputs.append(Output(f"{type(error)}: {error}", is_error=True))
    return outputs


def is_usable(outputs: Sequence[Output]) -> bool:
    """Whether a function shows something: mostly values, not mostly the same one, and none too long to read."""
    returned = [output.text for output in outputs if not output.is_error]
    commonest = max(Counter(returned).values(), default=0)
    return (
        2 * len(returned) > len(outputs)
        and commonest <= MAX_EQUAL_SHARE * len(returned)
        and max(map(len, returned)) <= MAX_OUTPUT_CHARACTERS
    )


def recorded_cases(function: MiniFunction, id: str, n: int, rng: random.Random) -> Cases:
    """The function with `n` inputs of its own and what it answers to them."""
    inputs = draw_inputs(function.signature, n, rng)
    return Cases(
        id=id,
        func_name=NAME,
        code=function.source,
        arguments=[tuple(zip(ARGUMENTS, map(repr, values), strict=False)) for values in inputs],
        example_inputs=[repr(dict(zip(ARGUMENTS, values, strict=False))) for values in inputs],
        example_outputs=run(function, inputs),
        status="ok",
    )
