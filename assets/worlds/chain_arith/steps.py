"""The step checker: which lines of a response follow from the question.

This is the truth of the world, for measurement and tests; a method that learns from outcomes must never see it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from assets.core.verifier.extract import MARKER
from assets.worlds.chain_arith.problems import Problem, Rule, next_line, next_reduction

RESULT: Final = re.compile(r"=([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Steps:
    """Per line whether it follows from the question and the lines before, as they were written.

    `first_wrong` counts from 0, None when no line is wrong; what comes behind it may follow from the wrong line and
    is then right in itself. `finished`: an answer line was written.
    """

    correct: tuple[bool, ...]
    first_wrong: int | None
    finished: bool

    @property
    def solved(self) -> bool:
        """Whether every step and the answer are there and right."""
        return self.finished and self.first_wrong is None


def check_steps(problem: Problem, response: str, rule: Rule) -> Steps:
    """Check any text, whole solution or beginning of one, line by line.

    A line is right when it is exactly the one the rule asks for next: its operands continue the chain, in the rule's
    order, and its arithmetic holds. After a wrong result the chain goes on with what was written; after a line that
    does not continue the chain nothing is right any more.
    """
    chain: Problem | None = problem
    correct: list[bool] = []
    finished = False
    for line in response.removesuffix("\n").split("\n") if response else ():
        correct.append(chain is not None and not finished and line == next_line(chain, rule))
        finished = finished or line.startswith(MARKER)
        chain = None if chain is None or finished else _continued(chain, line, rule)
    return Steps(tuple(correct), correct.index(False) if False in correct else None, finished)


def _continued(chain: Problem, line: str, rule: Rule) -> Problem | None:
    """The chain after a line with the right operands, whatever its result; None for any other line."""
    if not chain.operators:
        return None
    operation = next_line(chain, rule).partition("=")[0]
    result = RESULT.fullmatch(line.removeprefix(operation)) if line.startswith(operation) else None
    return chain.reduced(next_reduction(chain, rule), int(result[1])) if result else None
