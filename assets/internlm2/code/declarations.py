"""The names that a file offers to others, by regular expressions: what tells which part of a batched import is used."""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Za-z_]\w*")
_OFFERED = {
    "python": (re.compile(r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|^(\w+)[ \t]*(?::[^=\n]+)?=(?!=)", re.MULTILINE),),
    "go": (re.compile(r"^(?:func|type|var|const)[ \t]+([A-Z]\w*)", re.MULTILINE),),
    "c": (
        re.compile(r"\b(?:struct|class|enum|union)[ \t]+(\w+)", re.MULTILINE),
        re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE),
        re.compile(r"\b(?:typedef\b[^;{}]{0,500}?|\}[ \t]*)\b(\w+)[ \t]*;"),
        # The bounds keep a file without braces from being searched to its end at every line.
        re.compile(r"^[\w*&:<>, \t]{1,200}?\b(\w+)[ \t]*\([^;{}()]{0,500}\)[^;{}()]{0,80}[;{]", re.MULTILINE),
    ),
}
_OFFERED["cpp"] = _OFFERED["cuda"] = _OFFERED["c"]
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#[^\n]*$", re.MULTILINE)
_NOT_NAMES = frozenset({"if", "for", "while", "switch", "return", "sizeof", "defined"})


def declared_names(language: str, text: str) -> frozenset[str]:
    """Functions, types, macros and variables at the top level of a file."""
    found = (match for pattern in _OFFERED.get(language, ()) for match in pattern.findall(text))
    names = {name for match in found for name in ((match,) if isinstance(match, str) else match) if name}
    return frozenset(names - _NOT_NAMES)


def words(text: str) -> frozenset[str]:
    """All identifiers of a text, those in comments and strings among them."""
    return frozenset(_WORD.findall(text))


def is_umbrella(text: str) -> bool:
    """Whether a C header declares nothing itself: only directives and comments."""
    return not _DIRECTIVE.sub("", _COMMENT.sub("", text)).strip()
