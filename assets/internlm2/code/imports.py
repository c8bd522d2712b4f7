"""What a file imports, by regular expressions (paper, §3.1.2), as it is written: not yet found in the repository."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STRING = r"[\"']([^\"'\n]+)[\"']"
_PYTHON_IMPORT = re.compile(r"^[ \t]*import[ \t]+([^\n#;]+)", re.MULTILINE)
_PYTHON_FROM = re.compile(
    r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]*(?:\(([^)]*)\)|((?:[^\n\\#;]|\\\n)+))", re.MULTILINE
)
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*(?:include|import)[ \t]*[<\"]([^>\"\n]+)[>\"]", re.MULTILINE)
_SCRIPT = re.compile(
    rf"(?:^|[\s;}}])(?:import|export)\s+(?:[\w*${{}}\s,]{{1,2000}}?\sfrom\s*)?{_STRING}|\b(?:require|import)\s*\(\s*{_STRING}"
)
_JAVA = re.compile(r"^[ \t]*import[ \t]+(?:static[ \t]+)?([\w.]+(?:\.\*)?)[ \t]*;", re.MULTILINE)
_GO_BLOCK = re.compile(r"^import[ \t]*\(([^)]*)\)", re.MULTILINE)
_GO_ONE = re.compile(r"^import[ \t]+(?:[\w.]+[ \t]+)?\"([^\"\n]+)\"", re.MULTILINE)
_GO_STRING = re.compile(r"\"([^\"\n]+)\"")


@dataclass(frozen=True, slots=True)
class Import:
    """A module, header, path or package; the names taken from it, or what it is called in the file."""

    target: str
    names: tuple[str, ...] = ()
    alias: str = ""


def imports(language: str, text: str) -> list[Import]:
    """The imports of a file in the order they are written; none for a language that is not read."""
    if language == "python":
        return _python(text)
    if language in ("c", "cpp", "cuda"):
        return [Import(target) for target in _INCLUDE.findall(text)]
    if language in ("javascript", "typescript"):
        return [Import(one or other) for one, other in _SCRIPT.findall(text)]
    if language == "java":
        return [Import(target) for target in _JAVA.findall(text)]
    if language == "go":
        blocks = (target for block in _GO_BLOCK.findall(text) for target in _GO_STRING.findall(block))
        return [Import(target) for target in (*_GO_ONE.findall(text), *blocks)]
    return []


def _python(text: str) -> list[Import]:
    found: list[tuple[int, Import]] = []
    for match in _PYTHON_IMPORT.finditer(text):
        for part in match[1].split(","):
            module, *renamed = part.split() or [""]
            if module:
                found.append((match.start(), Import(module, alias=renamed[1] if len(renamed) == 2 else module)))
    for match in _PYTHON_FROM.finditer(text):
        listed = re.sub(r"#[^\n]*|\\\n", " ", match[2] or match[3] or "")
        names = tuple(part.split()[0] for part in listed.split(",") if part.strip())
        found.append((match.start(), Import(match[1], names)))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]
