"""The rule of worlds whose truth is known: the answer behind the last marker is the gold answer, letter by letter."""

from __future__ import annotations

from assets.core.verifier.extract import after_marker
from assets.core.verifier.outcome import EMPTY_GOLD, NOT_ENDED, Answer, Grade


def grade_exact(answer: Answer) -> Grade:
    """No tolerance, no percentages, no other way of writing a number; text behind the answer makes it another."""
    if not answer.gold.strip():
        return EMPTY_GOLD
    if not answer.ended:
        return NOT_ENDED
    extracted = after_marker(answer.response)
    if extracted is None:
        return Grade("unparsable", None, "no line starts with ####")
    return Grade("right" if extracted == answer.gold.strip() else "wrong", extracted)
