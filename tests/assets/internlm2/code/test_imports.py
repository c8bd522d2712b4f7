"""Imports are read as each language writes them."""

from __future__ import annotations

import pytest

from assets.internlm2.code.imports import Import, imports


def test_python() -> None:
    """Lists, aliases, brackets over lines, comments and relative names."""
    text = (
        "import os, a.b as c  # not, this\n"
        "from .x import (one,  # first\n    two as three,\n)\n"
        "from ..y import four, \\\n    five\n"
        "    import late\n"
        "from z import *\n"
        "x = 'import nothing'\n"
    )
    assert imports("python", text) == [
        Import("os", alias="os"),
        Import("a.b", alias="c"),
        Import(".x", ("one", "two")),
        Import("..y", ("four", "five")),
        Import("late", alias="late"),
        Import("z", ("*",)),
    ]


@pytest.mark.parametrize(
    ("language", "text", "targets"),
    [
        ("c", '#include <a/b.h>\n  # include "c.h"\n// #include "no.h"\n', ["a/b.h", "c.h"]),
        (
            "typescript",
            "import a from './a'\nimport {\n  b,\n  c as d\n} from \"../b\"\nimport './side'\nexport * from './e';\n"
            "const f = require('f'), g = await import('./g')\n",
            ["./a", "../b", "./side", "./e", "f", "./g"],
        ),
        ("java", "package p;\nimport a.b.C;\nimport static a.D.e;\nimport f.*;\n", ["a.b.C", "a.D.e", "f.*"]),
        (
            "go",
            'package p\nimport "fmt"\nimport x "a.io/b"\nimport (\n  "os"\n  y "a.io/c"\n)\n',
            ["fmt", "a.io/b", "os", "a.io/c"],
        ),
        ("rust", "use a::b;", []),
    ],
)
def test_other_languages(language: str, text: str, targets: list[str]) -> None:
    """The targets as written; a language that is not read has none."""
    assert [each.target for each in imports(language, text)] == targets
