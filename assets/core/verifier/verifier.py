"""Grading answers of either kind, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from assets.core.verifier.exact import grade_exact
from assets.core.verifier.outcome import Answer, Grade

Kind = Literal["exact", "math"]


@dataclass(frozen=True)
class VerifierSettings:
    """How mathematical answers are graded. `seconds` is the limit of one answer, after which its process is killed;
    `workers` processes grade at a time; `last_number` takes the last number of a response that names no answer."""

    seconds: float = 5.0
    workers: int = 2
    last_number: bool = True


class Verifier:
    """Grades answers. A context manager, since it owns the processes that grade mathematics, started when first
    needed. May be used from any thread."""

    def __init__(self, settings: VerifierSettings | None = None) -> None:
        self.settings = settings or VerifierSettings()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def grade(self, answers: Sequence[Answer], kind: Kind | Sequence[Kind]) -> list[Grade]:
        """A grade for each answer, in order; `kind` is the rule of all answers, or one for each."""
        kinds = [kind] * len(answers) if isinstance(kind, str) else kind
        if set(kinds) - {"exact"}:
            raise NotImplementedError
        return [grade_exact(answer) for answer in answers]

    def close(self) -> None:
        """Ends the processes."""
