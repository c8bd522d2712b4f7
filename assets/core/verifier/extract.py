"""Where a response says its answer. Pure; the time is linear in the length of the response."""

from __future__ import annotations

import re

MARKER = "####"
# OREAL's official verifier looks only at what stands behind the last of these.
THINKING_FINISHED = ("<conclude>", "**Final Answer**", "</think>")
_ANSWER_IS = re.compile(r"\b(?:final )?answer is:?[^\S\n]*", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])-?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")


def after_marker(response: str) -> str | None:
    """What follows the last line that starts with `####`, to the end of the response, stripped; None without one."""
    _, marker, answer = ("\n" + response).rpartition("\n" + MARKER)
    return answer.strip() if marker else None


def extract_answer(response: str, *, last_number: bool) -> str | None:
    r"""The answer in a response: of what follows the thinking, the last `\boxed{}`, else the line behind the last "the
    (final) answer is", else behind the last `####`, else the last number if `last_number` allows; None without any.

    OREAL's order (official repo: oreal/judgers), with GSM8K's marker added.
    """
    text = after_thinking(response)
    found = last_boxed(text)
    if found is None:
        found = _after_phrase(text)
    if found is None:
        found = after_marker(text)
    if found is None and last_number:
        found = _last_number(text)
    return found or None


def after_thinking(response: str) -> str:
    """What follows the last marker that the thinking is finished, or the whole response."""
    ends = [response.rfind(marker) + len(marker) for marker in THINKING_FINISHED if marker in response]
    return response[max(ends, default=0) :]


def last_boxed(text: str) -> str | None:
    r"""What stands between the matching braces of the last `\boxed{}`; None without one, or where it is not closed."""
    start = max((match.end() for match in _BOXED.finditer(text)), default=-1)
    if start < 0:
        return None
    depth = 1
    for match in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[start : match.start()].strip()
    return None


def _after_phrase(text: str) -> str | None:
    start = max((match.end() for match in _ANSWER_IS.finditer(text)), default=-1)
    return text[start:].split("\n", 1)[0].strip().rstrip(".") if start >= 0 else None


def _last_number(text: str) -> str | None:
    found = None
    for match in _NUMBER.finditer(text):
        found = match.group()
    return found
