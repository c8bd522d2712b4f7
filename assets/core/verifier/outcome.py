"""What is graded, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["right", "wrong", "unparsable", "timeout", "grader_error"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to a question, beside the gold answer.

    `response` is the text without the stop token; `ended` says that the stop token was there. A response that was
    cut off is wrong, whatever it says (OREAL's official verifier).
    """

    question: str
    gold: str
    response: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Grade:
    """What became of an answer. `extracted` is what was compared with the gold answer, None where nothing was found.

    `timeout` and `grader_error` say that no verdict was reached, and must be counted apart from `wrong`: they are the
    grader's fault or the doing of a hostile answer, and `detail` tells which.
    """

    outcome: Outcome
    extracted: str | None = None
    detail: str = ""

    @property
    def reward(self) -> float:
        """+1 for `right`, else -1 (OREAL's official code; the paper writes 1 and 0)."""
        return 1.0 if self.outcome == "right" else -1.0


NOT_ENDED = Grade("wrong", None, "did not end")
EMPTY_GOLD = Grade("grader_error", None, "the gold answer is empty")
