"""Grading answers by any of the rules, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Literal, Self, get_args

from assets.core.errors import InputError
from assets.core.generation.responder import Responder
from assets.core.verifier.exact import grade_exact
from assets.core.verifier.extract import Extracted, extract_answer
from assets.core.verifier.judge import ask_judge
from assets.core.verifier.math_pool import MathPool
from assets.core.verifier.outcome import EMPTY_GOLD, NOT_ENDED, Answer, Grade

Kind = Literal["exact", "math"]
# Whose versions decide what is equal.
LIBRARIES = ("math-verify", "latex2sympy2-extended", "sympy")


@dataclass(frozen=True)
class VerifierSettings:
    """How mathematical answers are graded (our defaults). `seconds` is the limit of one answer, after which its
    process is killed; `workers` processes grade at a time; `last_number` takes the last number or formula of the last
    line where a response names no answer."""

    seconds: float = 5.0
    workers: int = 2
    last_number: bool = True


def verifier_identity(config: object = None) -> dict[str, object]:
    """What decides a grade beside the project's own code, whatever a recipe's config: the versions of the libraries."""
    return {name: version(name) for name in LIBRARIES}


class Verifier:
    """Grades answers. A context manager, since it owns the processes that grade mathematics, which start when they are
    first needed. May be used from any thread.

    A `judge` that is a model is asked about mathematical answers that ended and that the rule did not accept.
    """

    def __init__(self, settings: VerifierSettings | None = None, judge: Responder | None = None) -> None:
        self.settings = settings or VerifierSettings()
        self._judge = None if judge is None or judge.is_rules else judge
        self._pool = MathPool(self.settings.seconds, self.settings.workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def grade(self, answers: Sequence[Answer], kind: Kind | Sequence[Kind]) -> list[Grade]:
        """A grade for each answer, in order; `kind` is the rule of all answers, or one for each.

        Raises InputError for another kind, AthanorError when the grading processes keep dying, and EngineError from
        the judge.
        """
        kinds = [kind] * len(answers) if isinstance(kind, str) else list(kind)
        if unknown := set(kinds) - set(get_args(Kind)):
            raise InputError(f"there is no verifier {unknown.pop()!r}", f"use one of {', '.join(get_args(Kind))}")
        grades = [grade_exact(a) if k == "exact" else None for a, k in zip(answers, kinds, strict=True)]
        places = [place for place, grade in enumerate(grades) if grade is None]
        graded = self._grade_maths([answers[place] for place in places])
        for place, grade in zip(places, graded, strict=True):
            grades[place] = grade
        return [grade for grade in grades if grade is not None]

    def close(self) -> None:
        """Ends the processes."""
        self._pool.close()

    def _grade_maths(self, answers: Sequence[Answer]) -> list[Grade]:
        extracted = [self._extract(answer) for answer in answers]
        found = [(answers[i].gold, e) for i, e in enumerate(extracted) if isinstance(e, Extracted)]
        ruled = iter(self._pool.grade(found))
        grades = [next(ruled) if isinstance(e, Extracted) else e for e in extracted]
        if self._judge is not None:
            doubtful = [
                i for i, grade in enumerate(grades) if grade.outcome != "right" and grade not in (NOT_ENDED, EMPTY_GOLD)
            ]
            for place, grade in ask_judge(self._judge, [answers[i] for i in doubtful]):
                index = doubtful[place]
                grades[index] = replace(grade, extracted=grades[index].extracted)
        return grades

    def _extract(self, answer: Answer) -> Extracted | Grade:
        if not answer.gold.strip():
            return EMPTY_GOLD
        if not answer.ended:
            return NOT_ENDED
        found = extract_answer(answer.response, last_number=self.settings.last_number)
        return found or Grade("unparsable", None, "the response names no answer")
