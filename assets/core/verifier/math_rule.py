r"""The rule of mathematics: Hugging Face's math-verify finds two answers equal. Slow, and hostile answers can hang or
crash it: run it in a process that can be killed (`math_pool`).

Stricter than math-verify alone: of a boxed answer the whole is compared; the written form is compared only where no
formula could be read; words are words, not products of letters; a percent sign is a unit, and nothing is ever
multiplied by 100; small numbers are compared by their ratio.
"""

from __future__ import annotations

import logging
import re
from itertools import product
from typing import Any

from assets.core.verifier.extract import Extracted
from assets.core.verifier.outcome import Grade

RELATIVE_TOLERANCE = 1e-5
_MATHS = re.compile(r"\$[^$]+\$|\\\(|\\\[|\\boxed")
_DOLLAR = re.compile(r"\\?\$")
_PERCENT = re.compile(r"\\?%|\b(?:pct|percent)\b")
_FONT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_AROUND_WORDS = re.compile(r"[\s$().]")


def grade_math(gold: str, answer: Extracted) -> Grade:
    """Compares an extracted answer with the gold answer; `unparsable` where nothing can be read in it.

    Never raises: what breaks inside the grader is `grader_error`.
    """
    if answer.text == gold.strip():
        return Grade("right", answer.text)
    gold_word, word = _word(gold), _word(answer.text)
    if gold_word and word:
        return Grade("right" if gold_word == word else "wrong", answer.text)
    try:
        gold_forms = _read(gold, formula=not _MATHS.search(gold))
        if not gold_forms:
            return Grade("grader_error", answer.text, f"the gold answer cannot be read: {gold[:200]!r}")
        forms = _read(answer.text, formula=answer.formula or _is_bare_formula(answer.text))
        if not forms:
            return Grade("unparsable", answer.text, "no number or formula can be read in it")
        right = any(_equal(*pair) for pair in product(gold_forms, forms))
    except Exception as error:
        return Grade("grader_error", answer.text, f"{type(error).__name__}: {error}"[:300])
    return Grade("right" if right else "wrong", answer.text)


def warm_up() -> None:
    """Imports and builds what the first comparison would pay for."""
    # It warns that nothing limits its time; here a process does.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    grade_math(r"\frac{1}{2}", Extracted("0.5", True))


def forget() -> None:
    """Drops what sympy remembers of earlier answers, so that memory does not grow with them."""
    from sympy.core.cache import clear_cache

    clear_cache()


def _word(text: str) -> str | None:
    """The letters of a text that has only such; of a single letter the case counts (x is not X), of words not."""
    letters = _AROUND_WORDS.sub("", _FONT.sub(r"\1", text))
    if not letters.isalpha():
        return None
    return letters.casefold() if len(letters) > 1 else letters


def _is_bare_formula(prose: str) -> bool:
    r"""Whether prose is a formula without its dollar signs: of `5x` or `\pm 5` math-verify would read the 5."""
    return not _MATHS.search(prose) and ("\\" in prose or " " not in prose)


def _read(text: str, *, formula: bool) -> list[Any]:
    """The formula that math-verify reads in a text, in sympy's classes; where it reads none, the text's normal form."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    text = _PERCENT.sub("", text)
    if formula:
        text = rf"$\boxed{{{_DOLLAR.sub('', text)}}}$"
    wanted = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
    # Its own limits use SIGALRM, which only a main thread can.
    found = parse(text, wanted, parsing_timeout=0, raise_on_error=True)
    return [form for form in found if not isinstance(form, str)] or found


def _equal(gold: Any, form: Any) -> bool:
    from math_verify import verify

    equal = verify(gold, form, timeout_seconds=0, raise_on_error=True)
    return equal and not _differ_by_ratio(gold, form)


def _differ_by_ratio(gold: Any, form: Any) -> bool:
    """Whether two numbers differ by more than the tolerance: math-verify rounds to 6 decimals, so that 1e-7 is 0."""
    from sympy import Float, Number

    pair = (gold, form)
    if not all(isinstance(number, Number) for number in pair) or not any(isinstance(number, Float) for number in pair):
        return False
    return bool(abs(gold - form) > RELATIVE_TOLERANCE * abs(gold))
