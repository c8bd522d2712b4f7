"""Asking a language model for example inputs: the prompt, and the parser of what it answers. Nothing is evaluated."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Literal

from assets.case2code.schema import Arguments
from models.inference.engine import Message

Problem = Literal["empty", "syntax", "no_examples"]

TASK = """\
Look at the function below and decide what type each of its arguments has. Then write {n} example inputs for it, all \
different from one another: a list named `examples`, in which each input is a dict that gives every argument a value.

Write them in this form:
```python
examples = [
    dict(argument=value),
    ...
]
```
"""
WORKED = """
Function:
```python
def repeat_word(times: int, word: str) -> str:
    return ' '.join([word] * times)
```
Examples:
```python
examples = [
    dict(times=1, word='tree'),
    dict(times=2, word='on'),
    dict(times=0, word='nothing'),
    dict(times=3, word='Ha!'),
    dict(times=5, word=''),
    dict(times=-1, word='minus'),
    dict(times=4, word='two words'),
    dict(times=10, word='x'),
    dict(times=2, word='42'),
    dict(times=6, word='été'),
]
```
"""
TARGET = """
Function:
```python
{code}
```
Examples:
"""
FENCED = re.compile(r"```python[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What a writer's text holds: the calls and what they need to be run first, or the problem for which it must be
    asked again."""

    calls: list[Arguments]
    preamble: str = ""
    problem: Problem | None = None


def writer_prompt(code: str, *, n_examples: int = 10, zero_shot: bool = False) -> tuple[Message, ...]:
    """The conversation that asks for inputs of a function: task, form, one worked example unless `zero_shot`, target
    (official repo: data_process.py; the words are ours)."""
    parts = [TASK.format(n=n_examples), "" if zero_shot else WORKED, TARGET.format(code=code.rstrip("\n"))]
    return (Message("user", "".join(parts)),)


def parse_answer(text: str) -> Answer:
    """The calls of the first fenced Python block, or of the whole text where there is none."""
    block = fenced_block(text)
    if not block:
        return Answer([], problem="empty")
    try:
        calls, preamble = parse_examples(block), parse_preamble(block)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Answer([], problem="syntax")
    return Answer(calls, preamble) if calls else Answer([], problem="no_examples")


def fenced_block(text: str) -> str:
    """The first block fenced as Python, which a cut-off answer leaves open; the whole text where there is none."""
    found = FENCED.search(text)
    return (found[1] if found else text).strip()


def parse_examples(source: str, *, first_list_only: bool = False) -> list[Arguments]:
    """The calls of `examples = [...]` and of each `examples += [...]` after it, from the syntax tree alone.

    An entry is `dict(a=1)` or `{'a': 1}`; one that holds anything else (`**more`, a computed key) is left out, as it
    has no text to show. `first_list_only` is the official reader's habit: its test set shows only cases of the first
    list, but was run on all. Raises SyntaxError.
    """
    calls: list[Arguments] = []
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="examples")], value=ast.List(elts=entries)):
                calls = [call for call in map(_arguments, entries) if call is not None]
            case ast.AugAssign(target=ast.Name(id="examples"), op=ast.Add(), value=ast.List(elts=entries)):
                if not first_list_only:
                    calls += [call for call in map(_arguments, entries) if call is not None]
    return calls


def parse_preamble(source: str) -> str:
    """What a block defines besides `examples`, such as the import of a module that a value needs."""
    others = [statement for statement in ast.parse(source).body if not _is_examples(statement)]
    return "".join(f"{ast.unparse(statement)}\n" for statement in others)


def _is_examples(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id="examples")]) | ast.AugAssign(target=ast.Name(id="examples")):
            return True
    return False


def _arguments(entry: ast.expr) -> Arguments | None:
    match entry:
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            pairs = [(keyword.arg, keyword.value) for keyword in keywords]
        case ast.Dict(keys=keys, values=values):
            pairs = list(zip(map(_name, keys), values, strict=True))
        case _:
            return None
    arguments = tuple((name, ast.unparse(value)) for name, value in pairs if name is not None)
    return arguments if len(arguments) == len(pairs) else None


def _name(key: ast.expr | None) -> str | None:
    match key:
        case ast.Constant(value=str() as name) if name.isidentifier():
            return name
    return None
