"""An import is found among the repository's files, and a batched one is refined to what is used."""

from __future__ import annotations

from assets.internlm2.code.read import library_places
from assets.internlm2.code.resolve import dependencies


def python(files: dict[str, str]) -> dict[str, set[str]]:
    return dependencies({path: ("python", text) for path, text in files.items()})


def test_relative_and_absolute_names_of_python() -> None:
    """Dots go up from the file; an absolute name starts at the root or at a folder that is no package."""
    found = python(
        {
            "src/pkg/__init__.py": "",
            "src/pkg/a.py": "from . import b\nfrom .sub.c import thing\nfrom .. import outside\n",
            "src/pkg/b.py": "import pkg.sub.c\nimport json\n",
            "src/pkg/sub/__init__.py": "",
            "src/pkg/sub/c.py": "from ..b import x\n",
            "src/pkg/json.py": "",
        }
    )
    assert found["src/pkg/a.py"] == {"src/pkg/b.py", "src/pkg/sub/c.py"}
    assert found["src/pkg/b.py"] == {"src/pkg/sub/c.py"}
    assert found["src/pkg/sub/c.py"] == {"src/pkg/b.py"}


def test_a_name_of_pythons_own_library_is_not_the_repositorys() -> None:
    """`import json` is no dependency on a script of that name in another folder, without `__init__.py` though it be."""
    assert python({"tools/json.py": "", "main.py": "import json"})["main.py"] == set()
    assert python({"json.py": "", "tools/main.py": "import json"})["tools/main.py"] == {"json.py"}


def test_a_packages_init_is_refined() -> None:
    """What `__init__.py` gathers is found where it is defined, through packages in packages and with a star."""
    files = {
        "p/__init__.py": "from .a import one\nfrom .q import *\nfrom .q import deep\nVERSION = 1\n",
        "p/a.py": "def one(): ...\n",
        "p/q/__init__.py": "from .b import deep\ndef wide(): ...\n",
        "p/q/b.py": "def deep(): ...\n",
        "user1.py": "from p import one\n",
        "user2.py": "from p import deep, wide\n",
        "user3.py": "import p\np.one()\n",
        "user4.py": "from p import VERSION\n",
        "user5.py": "import p as short\nshort.deep()\n",
    }
    found = python(files)
    assert found["user1.py"] == {"p/a.py"}
    assert found["user2.py"] == {"p/q/b.py", "p/q/__init__.py"}
    assert found["user3.py"] == {"p/a.py"}
    assert found["user4.py"] == {"p/__init__.py"}
    assert found["user5.py"] == {"p/q/b.py"}
    assert found["p/__init__.py"] == {"p/a.py", "p/q/b.py", "p/q/__init__.py"}


def test_packages_that_import_each_other() -> None:
    """A circle of `__init__.py` ends."""
    found = python({"a/__init__.py": "from b import *\n", "b/__init__.py": "from a import *\nfrom a import x\n"})
    assert found == {"a/__init__.py": {"b/__init__.py"}, "b/__init__.py": {"a/__init__.py"}}


def test_the_order_of_the_files_does_not_matter() -> None:
    """Python's own packages, circles among them, from the first file to the last and back."""
    texts: dict[str, dict[str, str]] = {}
    for repo, path, place in library_places(4):
        texts.setdefault(repo, {})[path] = place.read_text("utf-8")
    for repo in ("asyncio", "email", "multiprocessing", "xml"):
        backwards = dict(reversed(texts[repo].items()))
        assert python(texts[repo]) == python(backwards)
    assert "json/decoder.py" in python(texts["json"])["json/__init__.py"]


def test_an_umbrella_header_is_refined() -> None:
    """Of the headers behind one that declares nothing, those whose names are used; of a header of its own, itself."""
    files = {
        "inc/all.h": ("c", '/* everything */\n#pragma once\n#include "more.h"\n#include "square.h"\n'),
        "inc/more.h": ("c", '#include "circle.h"\n#include "all.h"\n'),
        "inc/circle.h": ("c", "struct circle { int r; };\nint circle_area(const struct circle *c);\n"),
        "inc/square.h": ("c", "#define SIDE 2\ntypedef struct { int a; } square;\n"),
        "src/a.c": ("c", '#include "all.h"\nint f(void) { return circle_area(0); }\n'),
        "src/b.c": ("c", "#include <inc/all.h>\nint g = SIDE;\n"),
        "src/c.c": ("c", '#include "../inc/all.h"\nint h;\n'),
        "src/d.c": ("c", '#include "square.h"\n#include <stdio.h>\n'),
    }
    found = dependencies(files)
    assert found["src/a.c"] == {"inc/circle.h"}
    assert found["src/b.c"] == {"inc/square.h"}
    assert found["src/c.c"] == {"inc/all.h"}
    assert found["src/d.c"] == {"inc/square.h"}


def test_scripts_by_path() -> None:
    """Suffixes and index files are tried; packages of others are no files of the repository."""
    files = dict.fromkeys(("lib/a.ts", "lib/index.ts", "lib/b.js", "c.ts"), ("typescript", ""))
    files["main.ts"] = ("typescript", "import './lib'\nimport './lib/b'\nimport './c.js'\nimport 'react'\n")
    assert dependencies(files)["main.ts"] == {"lib/index.ts", "lib/b.js", "c.ts"}


def test_java_and_go_packages() -> None:
    """A wildcard and a package of Go mean the files whose names are used."""
    java = {
        "src/a/b/C.java": ("java", "class C {}"),
        "src/a/b/D.java": ("java", "class D {}"),
        "src/M.java": ("java", "import a.b.*;\nimport static a.b.D.x;\nclass M { C c; }"),
    }
    assert dependencies(java)["src/M.java"] == {"src/a/b/C.java", "src/a/b/D.java"}
    go = {
        "util/a.go": ("go", "package util\nfunc One() {}\n"),
        "util/b.go": ("go", "package util\nfunc Two() {}\n"),
        "util/b_test.go": ("go", "package util\nfunc One() {}\n"),
        "main.go": ("go", 'package main\nimport "x.io/me/util"\nimport "fmt"\nfunc main() { util.Two() }\n'),
        "other.go": ("go", 'package main\nimport _ "x.io/me/util"\n'),
        "fmt/f.go": ("go", "package fmt\n"),
    }
    found = dependencies(go)
    assert found["main.go"] == {"util/b.go"}
    assert found["other.go"] == {"util/a.go", "util/b.go"}
