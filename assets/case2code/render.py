"""From cases to a training sample: the prompt that shows some of them, and the function as its answer. No I/O.

The structure is the official one (prompt_code_data.py); how its choices are drawn is a `Style`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from assets.case2code.schema import Arguments, Cases, Output, keyword_dict
from assets.case2code.sentences import PADDINGS, TRAINING, UNSEEN, Layout, Wording

InputStyle = Literal["pairs", "values", "dict", "keywords", "positional"]
StyleName = Literal["diverse", "single", "evaluation", "unseen"]
# Arguments given in another order than the signature's, or with one left out, mean nothing without their names.
NAMED: Mapping[InputStyle, InputStyle] = {
    "pairs": "pairs",
    "values": "dict",
    "dict": "dict",
    "keywords": "keywords",
    "positional": "keywords",
}
LEAD_IN = "Here is the function:"


@dataclass(frozen=True)
class Style:
    """How prompts are drawn: from which wording, how often with which header, how inputs of `raw` and `call` layouts
    are written, and whether instruction, name and examples change places."""

    wording: Wording
    example_header_share: float
    name_header_share: float
    raw_inputs: tuple[InputStyle, ...] = ("pairs", "values", "dict")
    call_inputs: tuple[InputStyle, ...] = ("keywords", "positional")
    shuffles_parts: bool = True


def _first(wording: Wording, paddings: tuple[str, ...]) -> Wording:
    return Wording(wording.instructions[:1], (), wording.name_headers[:1], wording.layouts[:1], paddings)


STYLES: Mapping[StyleName, Style] = {
    "diverse": Style(TRAINING, example_header_share=0.8, name_header_share=0.8),
    # One prompt form for every sample: the arm that diversity is compared with.
    "single": Style(_first(TRAINING, ("\n",)), 0.0, 1.0, ("dict",), shuffles_parts=False),
    # The official evaluation: the first of everything, the name always, the order of the parts still drawn.
    "evaluation": Style(_first(TRAINING, PADDINGS), 0.0, 1.0, ("dict",)),
    # The same question in wordings and layouts that no training sample has.
    "unseen": Style(UNSEEN, example_header_share=0.8, name_header_share=1.0),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt, its answer, and the indices of the cases that it shows, in the order shown."""

    prompt: str
    output: str
    shown: list[int]


def render_sample(
    cases: Cases,
    style: Style,
    rng: Random,
    *,
    min_shown: int = 3,
    max_characters: int = 32_768,
    json_quoted: bool = False,
) -> Sample | None:
    """A prompt with m ~ U{`min_shown`..n} of the n cases in random order (all where n is smaller), or None when it is
    longer than `max_characters`. `rng` should be seeded by the id of the cases."""
    wording = style.wording
    instruction = rng.choice(wording.instructions)
    header = rng.choice(wording.example_headers) if rng.random() < style.example_header_share else ""
    name = rng.choice(wording.name_headers) if rng.random() < style.name_header_share else ""
    layout = rng.choice(wording.layouts)
    shown = draw_shown(len(cases.arguments), min_shown, rng)
    parameters = parameter_names(cases.code, cases.func_name)
    examples = header
    for index in shown:
        arguments = cases.arguments[index]
        drawn = rng.choice(style.call_inputs if layout.style == "call" else style.raw_inputs)
        if tuple(name for name, _ in arguments) != parameters[: len(arguments)]:
            drawn = NAMED[drawn]
        output = cases.example_outputs[index]
        examples += render_case(layout, drawn, cases.func_name, arguments, output, json_quoted=json_quoted)
    parts = [instruction, name.format(name=cases.func_name), examples]
    if style.shuffles_parts:
        rng.shuffle(parts)
    prompt = join_parts(parts, [rng.choice(wording.paddings) for _ in parts])
    return Sample(prompt, render_answer(cases.code), shown) if len(prompt) <= max_characters else None


def parameter_names(code: str, func_name: str) -> tuple[str, ...]:
    """The names of the function's arguments that can be given by position, in order."""
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef) and node.name == func_name:
            return tuple(argument.arg for argument in node.args.args)
    return ()


def draw_shown(n_cases: int, min_shown: int, rng: Random) -> list[int]:
    """Indices of the cases to show, in order."""
    return rng.sample(range(n_cases), rng.randint(min(min_shown, n_cases), n_cases))


def render_case(
    layout: Layout,
    style: InputStyle,
    func_name: str,
    arguments: Arguments,
    output: Output,
    *,
    json_quoted: bool = False,
) -> str:
    """One case in a layout, with what separates it from the next."""
    if json_quoted:
        arguments = tuple((name, _json_value(source)) for name, source in arguments)
    text = json.dumps(output.text) if json_quoted else output.text
    return layout.template.format(input=_input(style, func_name, arguments), output=text) + layout.separator


def join_parts(parts: Sequence[str], paddings: Sequence[str]) -> str:
    """The parts that are not empty, each followed by its padding."""
    return "".join(part + padding for part, padding in zip(parts, paddings, strict=True) if part)


def render_answer(code: str, lead_in: str = LEAD_IN) -> str:
    """What the model shall say: a short lead-in and the function, fenced."""
    return f"{lead_in}\n\n```python\n{code.rstrip()}\n```"


def _input(style: InputStyle, func_name: str, arguments: Arguments) -> str:
    match style:
        case "pairs":
            return ", ".join(f"{name}:{value}" for name, value in arguments)
        case "values":
            return ", ".join(value for _, value in arguments)
        case "dict":
            return keyword_dict(arguments)
        case "keywords":
            return f"{func_name}({', '.join(f'{name}={value}' for name, value in arguments)})"
        case "positional":
            return f"{func_name}({', '.join(value for _, value in arguments)})"


def _json_value(source: str) -> str:
    """A value as the official prompts show it: a string as JSON, another literal as its repr."""
    try:
        value = ast.literal_eval(source)
    except ValueError:
        return source
    return json.dumps(value) if isinstance(value, str) else repr(value)
