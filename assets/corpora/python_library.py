"""The text and code that every CPython carries: its standard library, a real corpus on every machine.

What counts: the importable modules of the standard library without tests, idlelib and site-packages (Python
3.11.7: 672 files; the file of build settings, which differs from machine to machine, is left out).
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from assets.core.errors import InputError
from assets.corpora.python_units import Unit, module_units, split_paragraphs
from assets.corpora.schema import Document, Reject, document

EXCLUDED_FOLDERS = frozenset({"test", "tests", "idlelib", "site-packages"})
TOPICS = "pydoc_data/topics.py"


@dataclass(frozen=True, slots=True)
class LibraryInventory:
    """What identifies the input: the interpreter and the content of every file read."""

    python_version: str
    n_files: int
    n_bytes: int
    digest: str


def read_python_library(max_class_bytes: int, root: Path | None = None) -> Iterator[Document | Reject]:
    """Every unit of the standard library below `root` (default: the running interpreter's), sorted by file.

    Code: functions and classes without docstrings, classes above `max_class_bytes` split (`module_units`).
    Prose: docstrings, and the topics of Python's own `help()`. `package` is the top-level package or module,
    `module` the dotted module, `name` the qualified name. A file that is not Python yields one `Reject`.
    """
    root = root or standard_library()
    for path in library_files(root):
        yield from _read_module(root, path, max_class_bytes)


def inventory(root: Path | None = None) -> LibraryInventory:
    """Python version, file count, bytes, and the sha256 over every (relative path, sha256 of content)."""
    root = root or standard_library()
    total, n_files, n_bytes = hashlib.sha256(), 0, 0
    for path in library_files(root):
        content = path.read_bytes()
        line = f"{hashlib.sha256(content).hexdigest()} {path.relative_to(root).as_posix()}\n"
        total.update(line.encode("utf-8", "surrogateescape"))
        n_files, n_bytes = n_files + 1, n_bytes + len(content)
    return LibraryInventory(platform.python_version(), n_files, n_bytes, total.hexdigest())


def standard_library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def library_files(root: Path) -> list[Path]:
    """Sorted by path below `root`. A folder that is no identifier (`config-3.11-…`) cannot be imported."""
    files: list[Path] = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if name.isidentifier() and name not in EXCLUDED_FOLDERS]
        files += [Path(folder, name) for name in names if _is_module(name)]
    if not files:
        raise InputError(
            f"{root}: no Python module found",
            "install the standard library's sources, or give the folder that holds them",
        )
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def _is_module(name: str) -> bool:
    return name.endswith(".py") and not name.startswith("_sysconfigdata")


def _read_module(root: Path, path: Path, max_class_bytes: int) -> Iterator[Document | Reject]:
    relative = path.relative_to(root)
    parts = relative.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    try:
        with tokenize.open(path) as file:
            source = file.read()
        units = list(_units(relative, source, max_class_bytes))
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        yield Reject(str(path), line, "not_python", str(error))
        return
    seen: Counter[tuple[str, str]] = Counter()
    for kind, name, text in units:
        # A property and its setter, or two branches of an `if`, define one name twice.
        seen[kind, name] += 1
        place = (module, name, str(seen[kind, name]))
        try:
            yield document(kind, parts[0], module, name, text, place)
        except UnicodeEncodeError as error:
            yield Reject(str(path), None, "lone_surrogate", f"{kind} of {name}: {error}")


def _units(relative: Path, source: str, max_class_bytes: int) -> Iterator[Unit]:
    if relative.as_posix() == TOPICS:
        return _topics(source, max_class_bytes)
    return module_units(source, max_class_bytes)


def _topics(source: str, max_bytes: int) -> Iterator[Unit]:
    """The topics of Python's `help()`, which the documentation's build writes as one dictionary literal.

    A topic above `max_bytes` is split between paragraphs into parts of at most that many (one paragraph at least).
    """
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            topics: dict[str, str] = ast.literal_eval(statement.value)
            for name in sorted(topics):
                parts = split_paragraphs(topics[name].strip(), max_bytes)
                for number, part in enumerate(parts, start=1):
                    yield Unit("prose", name if len(parts) == 1 else f"{name} ({number} of {len(parts)})", part)
