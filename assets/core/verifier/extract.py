"""Where a response says its answer. Pure; the time is linear in the length of the response."""

from __future__ import annotations

import re
from typing import NamedTuple

MARKER = "####"
# OREAL's official verifier looks only at what stands behind the last of these.
THINKING_FINISHED = ("<conclude>", "**Final Answer**", "</think>")
# Longer answers are no answers, and what reads formulas takes more than linear time (our default).
MAX_CHARACTERS = 1_000
_ANSWER_IS = re.compile(r"\banswer is\b:?[^\S\n]*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


class Extracted(NamedTuple):
    """The text of an answer. A `formula` is nothing but the answer; prose has it as the last number or formula."""

    text: str
    formula: bool


def after_marker(response: str) -> str | None:
    """What follows the last line that starts with `####`, to the end of the response, stripped; None without one."""
    _, marker, answer = ("\n" + response).rpartition("\n" + MARKER)
    return answer.strip() if marker else None


def extract_answer(response: str, *, last_number: bool) -> Extracted | None:
    r"""The answer in a response: of what follows the thinking, the last `\boxed{}`, else the sentence behind the last
    "answer is", else what follows the last `####`, else the last line if `last_number` allows; None without any.

    OREAL's order (official repo: oreal/judgers), with GSM8K's marker added. The end of a long line stands for it; a
    box of more than `MAX_CHARACTERS` is no answer.
    """
    text = after_thinking(response)
    boxed = last_boxed(text)
    if boxed is not None:
        return Extracted(boxed, True) if 0 < len(boxed) <= MAX_CHARACTERS else None
    prose = _after_phrase(text)
    if prose is None:
        prose = after_marker(text)
    if prose is None and last_number:
        prose = text.strip().rpartition("\n")[2].strip()
    return Extracted(prose[-MAX_CHARACTERS:], False) if prose else None


def after_thinking(response: str) -> str:
    """What follows the last marker that the thinking is finished, or the whole response."""
    ends = [response.rfind(marker) + len(marker) for marker in THINKING_FINISHED if marker in response]
    return response[max(ends, default=0) :]


def last_boxed(text: str) -> str | None:
    r"""What stands between the matching braces of the last `\boxed{}`, stripped; None without one, or where it is not
    closed."""
    start = _last_end(_BOXED, text)
    if start is None:
        return None
    depth = 1
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[start : match.start()].strip()
    return None


def _after_phrase(text: str) -> str | None:
    start = _last_end(_ANSWER_IS, text)
    if start is None:
        return None
    line = text[start:].partition("\n")[0]
    return _SENTENCE_END.split(line, maxsplit=1)[0].strip()


def _last_end(pattern: re.Pattern[str], text: str) -> int | None:
    end = None
    for match in pattern.finditer(text):
        end = match.end()
    return end
