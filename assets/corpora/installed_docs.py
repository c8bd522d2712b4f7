"""Documentation that is installed on every machine: docstrings, package READMEs, man pages, documentation folders.

No module is imported: docstrings are read from syntax trees, READMEs from the packages' metadata. A document is the
documentation of one module, package, man page or file, so that its origin is a label that no reader of the text sees.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import platform
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from assets.corpora.python_library import inventory as library_inventory
from assets.corpora.python_library import library_files, standard_library
from assets.corpora.schema import Document, document

if TYPE_CHECKING:
    import polars as pl

Format = Literal["python", "metadata", "man", "text"]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
EXCLUDED_FOLDERS = frozenset({"test", "tests", "_vendor", "vendor", "vendored"})
TEXT_FILES = (".txt", ".md", ".rst", ".txt.gz", ".md.gz", ".rst.gz")
_LICENCE = re.compile(r"copying|copyright|licen[cs]e|changelog|changes|news|history", re.IGNORECASE)
# Of troff: comments, font and size changes, and the characters that are written as escapes.
_COMMENT, _FONT = re.compile(r'\\".*'), re.compile(r"\\f(?:\[[^]]*\]|\(..|.)|\\s[-+]?\d+|\\[&|^,/]")
_TROFF_CHARACTERS = {r"\-": "-", r"\e": "\\", r"\ ": " ", r"\~": " ", r"\(aq": "'", r"\(dq": '"', r"\(bu": "*"}
_HEADINGS, _SPOKEN = (".SH", ".SS", ".Sh", ".Ss"), (".B", ".I", ".BR", ".IR", ".RB", ".RI", ".BI", ".IB", ".SM", ".TP")


class DocFile(NamedTuple):
    """A file with documentation: how it is written, and which package and module it documents."""

    format: Format
    package: str
    module: str
    path: str


def doc_files(
    packages: Sequence[str], man_root: Path | None, man_sections: Sequence[str], doc_root: Path | None
) -> Iterator[DocFile]:
    """All files with documentation, in a fixed order.

    `packages` are the distributions whose docstrings are read, besides those of the standard library (none named: all
    installed ones); one that is not installed is left out. READMEs are those of all distributions. Without a root there
    are no man pages or no documentation folders.
    """
    root = standard_library()
    for path in library_files(root):
        yield DocFile("python", *_module(path.relative_to(root).parts), str(path))
    installed = {found.metadata["Name"]: found for found in distributions()}
    for name in sorted(packages or installed, key=str.lower):
        yield from _package_files(name)
    for name in sorted(installed, key=str.lower):
        yield DocFile("metadata", name.lower(), name.lower(), name)
    if man_root is not None:
        for section in man_sections:
            for path in sorted((man_root / f"man{section}").glob("*")):
                if path.is_file() and not path.is_symlink():
                    yield DocFile("man", "man", path.name.removesuffix(".gz"), str(path))
    if doc_root is not None:
        for path in sorted(doc_root.rglob("*")):
            if path.name.endswith(TEXT_FILES) and path.is_file() and not _LICENCE.match(path.name):
                yield DocFile("text", "doc", path.relative_to(doc_root).parts[0], str(path))


def _package_files(name: str) -> Iterator[DocFile]:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return
    for file in sorted(files):
        parts = file.parts
        if file.suffix == ".py" and ".." not in parts and not EXCLUDED_FOLDERS & set(parts):
            yield DocFile("python", *_module(parts), str(file.locate()))


def _module(parts: tuple[str, ...]) -> tuple[str, str]:
    """Package and dotted module of a source file."""
    inner = [*parts[:-1], parts[-1].removesuffix(".py")]
    dotted = inner[:-1] if inner[-1] == "__init__" and len(inner) > 1 else inner
    return inner[0], ".".join(dotted)


def read_docs(frame: pl.DataFrame, max_bytes: int) -> pl.DataFrame:
    """The documents of files given as a frame of `DocFile`: columns of DOCUMENT_SCHEMA, and `problem`.

    `problem` says why there is none: `not_python`, `unreadable`, `too_long` (a file of more than `max_bytes`) or
    `no_text`.
    """
    import polars as pl

    from assets.corpora.schema import DOCUMENT_SCHEMA

    rows = [_read(DocFile(*row), max_bytes) for row in frame.iter_rows()]
    documents = [
        {name: getattr(found, name) for name in DOCUMENT_SCHEMA} | {"problem": problem} for found, problem in rows
    ]
    return pl.DataFrame(documents, schema={**DOCUMENT_SCHEMA, "problem": pl.String()})


def _read(file: DocFile, max_bytes: int) -> tuple[Document, str]:
    text, problem = "", ""
    try:
        text = _text(file, max_bytes)
    except (SyntaxError, ValueError, RecursionError) as error:
        problem = "too_long" if isinstance(error, _TooLongError) else "not_python"
    except (OSError, EOFError, PackageNotFoundError):
        problem = "unreadable"
    clean = text.encode("utf-8", "replace").decode("utf-8").strip()
    return document("prose", file.package, file.module, Path(file.path).name, clean), problem or (
        "" if clean else "no_text"
    )


class _TooLongError(ValueError):
    pass


def _text(file: DocFile, max_bytes: int) -> str:
    if file.format == "metadata":
        return _readme(distribution(file.path))
    path = Path(file.path)
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) > max_bytes and file.format != "python":
        raise _TooLongError
    if file.format == "python":
        return "\n\n".join(docstrings(content))
    text = content.decode("utf-8", "replace")
    return without_troff(text) if file.format == "man" else text


def docstrings(source: bytes | str) -> list[str]:
    """The docstrings of a module, of its classes and functions, outer ones first; raises SyntaxError or ValueError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        tree = ast.parse(source)
    documented = (node for node in ast.walk(tree) if isinstance(node, DOCUMENTED))
    return [text for node in documented if (text := ast.get_docstring(node))]


def _readme(found: Distribution) -> str:
    """The long description of a distribution, else its summary."""
    about = found.metadata.json
    return str(about.get("description") or about.get("summary") or "")


def without_troff(source: str) -> str:
    """The words of a man page: requests are removed, but for headings and words in another font."""
    lines: list[str] = []
    for line in source.splitlines():
        request, _, words = _COMMENT.sub("", line).partition(" ")
        if not request.startswith((".", "'")):
            lines.append(_COMMENT.sub("", line))
        elif request in _HEADINGS:
            lines += ["", words, ""]
        elif request in (".PP", ".P", ".LP", ".Pp", ".TP", ".IP"):
            lines.append("")
        elif request in _SPOKEN:
            lines.append(words)
    text = _FONT.sub("", "\n".join(lines))
    for escape, character in _TROFF_CHARACTERS.items():
        text = text.replace(escape, character)
    return text.replace('"', "")


def inventory(files: Sequence[DocFile]) -> dict[str, object]:
    """What identifies the input: Python and its library, the packages by the digest of their file lists, other files by
    a digest of their content."""
    outside = hashlib.sha256()
    for file in files:
        if file.format in ("man", "text"):
            content = Path(file.path).read_bytes()
            outside.update(f"{file.module} {hashlib.sha256(content).hexdigest()}\n".encode())
    packages = {file.package: file.path for file in files if file.format == "metadata"}
    return {
        "python": platform.python_version(),
        "library": library_inventory().digest,
        "packages": {name: _record_digest(distribution(path)) for name, path in packages.items()},
        "system": outside.hexdigest(),
    }


def _record_digest(found: Distribution) -> str:
    """A digest of the list of a distribution's files, which has the digest of each."""
    listed = found.read_text("RECORD") or found.version
    return hashlib.sha256(listed.encode()).hexdigest()[:16]
