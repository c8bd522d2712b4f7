"""Chains of modular arithmetic: drawn from a seed, written as text, solved line by line.

A chain such as `17+5*3-8` is reduced one operation at a time; each reduction is a line `a∘b=c` of the solution, with
`c` modulo the rule's modulus, so that no value is ever negative. The last line is `#### v`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, NamedTuple

from assets.core.verifier.extract import MARKER

Order = Literal["left_to_right", "precedence"]
OPERATORS: Final = ("+", "-", "*")
QUESTION: Final = re.compile(r"[0-9]{1,9}(?:[-+*][0-9]{1,9})+=\?")


@dataclass(frozen=True, slots=True)
class Rule:
    """How a chain is evaluated: all values modulo `modulus`; `precedence` takes products first, from the left."""

    modulus: int
    order: Order = "left_to_right"


@dataclass(frozen=True, slots=True)
class Problem:
    """A chain: one operand more than operators."""

    operands: tuple[int, ...]
    operators: tuple[str, ...]

    @property
    def formula(self) -> str:
        """The chain as text; equal chains, equal text."""
        rest = zip(self.operators, self.operands[1:], strict=True)
        return f"{self.operands[0]}" + "".join(f"{operator}{operand}" for operator, operand in rest)

    @property
    def question(self) -> str:
        return f"{self.formula}=?"

    def beginning(self, n_operations: int) -> Problem:
        """The chain of the first `n_operations`."""
        return Problem(self.operands[: n_operations + 1], self.operators[:n_operations])

    def reduced(self, place: int, value: int) -> Problem:
        """The chain after the operation at `place` was replaced by its value."""
        before, after = self.operands[:place], self.operands[place + 2 :]
        return Problem((*before, value, *after), (*self.operators[:place], *self.operators[place + 1 :]))


class Drawn(NamedTuple):
    """A drawn problem and the operator that was favoured in it."""

    problem: Problem
    skill: str


def parse_question(question: str) -> Problem:
    """The chain that a question asks for. Raises ValueError for any other text."""
    if not QUESTION.fullmatch(question):
        raise ValueError(f"{question!r} is no question of ChainArith, such as 17+5*3-8=?")
    return Problem(tuple(map(int, re.findall("[0-9]+", question))), tuple(re.findall("[-+*]", question)))


def next_reduction(problem: Problem, rule: Rule) -> int:
    """The place of the operator that is taken next: the one order that solutions and their checker share."""
    if rule.order == "precedence" and "*" in problem.operators:
        return problem.operators.index("*")
    return 0


def apply(operator: str, left: int, right: int, modulus: int) -> int:
    """The operation's value in [0, modulus)."""
    if operator == "*":
        return left * right % modulus
    return (left + right if operator == "+" else left - right) % modulus


def next_line(problem: Problem, rule: Rule) -> str:
    """The solution's next line; `#### v` when nothing is left to reduce."""
    if not problem.operators:
        return f"{MARKER} {problem.operands[0]}"
    place = next_reduction(problem, rule)
    left, right = problem.operands[place : place + 2]
    operator = problem.operators[place]
    return f"{left}{operator}{right}={apply(operator, left, right, rule.modulus)}"


def solve(problem: Problem, rule: Rule) -> tuple[str, str]:
    """The solution's text and the answer."""
    lines = []
    while problem.operators:
        lines.append(next_line(problem, rule))
        problem = problem.reduced(next_reduction(problem, rule), int(lines[-1].partition("=")[2]))
    return "\n".join([*lines, next_line(problem, rule)]), str(problem.operands[0])


def draw_problems(
    *, modulus: int, min_operations: int, max_operations: int, skill_share: float, seed: int
) -> Iterator[Drawn]:
    """Problems without end: lengths and operands uniform, operators `skill_share` of the skill and else uniform."""
    random = Random(seed)
    while True:
        length = random.randint(min_operations, max_operations)
        skill = random.choice(OPERATORS)
        operators = tuple(skill if random.random() < skill_share else random.choice(OPERATORS) for _ in range(length))
        yield Drawn(Problem(tuple(random.randrange(modulus) for _ in range(length + 1)), operators), skill)
