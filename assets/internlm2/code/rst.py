"""reStructuredText to markdown, line by line: headings, code blocks, literals, roles and links."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assets.internlm2.code.fence import fenced

_RULE = re.compile(r"([=\-~^\"'`#*+:._])\1{2,}\s*")
_DIRECTIVE = re.compile(r"\s*\.\. (?:code-block|code|sourcecode)::\s*(?P<language>[\w+#.-]*)\s*")
_OPTION = re.compile(r"\s+:[\w-]+:")
_ROLE = re.compile(r":[a-z][\w:.-]*:`~?([^`<]+?)(?: <[^`>]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<([^`>]+)>`__?")
_LITERAL = re.compile(r"``([^`\n]+)``")


def rst_to_markdown(text: str) -> str:
    """The constructs that carry the text's structure in markdown; all other lines as they stand.

    The level of a heading is the place of its underline's character among those met, as docutils reads it.
    """
    lines, written, levels = text.split("\n"), [], dict[str, int]()
    at = 0
    while at < len(lines):
        line = lines[at]
        if _is_overline(lines, at):
            at += 1
        elif _is_heading(lines, at):
            level = levels.setdefault(lines[at + 1][0], len(levels) + 1)
            written.append(f"{'#' * min(level, 6)} {_inline(line.strip())}")
            at += 2
        elif (directive := _DIRECTIVE.fullmatch(line)) or line.rstrip().endswith("::"):
            end = _block_end(lines, at)
            body = _without_margin(lines[at + 1 : end])
            lead = "" if directive else line.rstrip().removesuffix("::").rstrip()
            written += [_inline(lead) + ":", ""] if lead.strip(" .") else []
            written += [fenced(body, directive["language"] if directive else ""), ""] if body else []
            at = end
        else:
            written.append(_inline(line))
            at += 1
    return "\n".join(written)


def _is_heading(lines: Sequence[str], at: int) -> bool:
    title = lines[at]
    below = lines[at + 1] if at + 1 < len(lines) else ""
    return bool(title.strip() and _RULE.fullmatch(below)) and not _RULE.fullmatch(title)


def _is_overline(lines: Sequence[str], at: int) -> bool:
    return bool(
        at + 2 < len(lines)
        and _RULE.fullmatch(lines[at])
        and lines[at + 2].rstrip() == lines[at].rstrip()
        and _is_heading(lines, at + 1)
    )


def _block_end(lines: Sequence[str], at: int) -> int:
    """The line after the block that belongs to line `at`: all that is indented deeper, and blank lines between."""
    margin, end = _margin(lines[at]), at + 1
    for place in range(at + 1, len(lines)):
        if lines[place].strip():
            if _margin(lines[place]) <= margin:
                break
            end = place + 1
    return end


def _without_margin(block: Sequence[str]) -> str:
    """A block without its indentation, its directive's options and the blank lines around it."""
    body = list(block)
    while body and (not body[0].strip() or _OPTION.match(body[0])):
        body.pop(0)
    margin = min((_margin(line) for line in body if line.strip()), default=0)
    return "\n".join(line[margin:].rstrip() for line in body).rstrip()


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())


def _inline(text: str) -> str:
    return _LITERAL.sub(r"`\1`", _LINK.sub(r"[\1](\2)", _ROLE.sub(r"`\1`", text)))
