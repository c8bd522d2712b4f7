"""Reading repositories from a folder, or the packages of Python's standard library, which every machine has."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from assets.core.errors import InputError
from assets.corpora.python_library import library_files, standard_library
from assets.internlm2.code.languages import classify
from assets.internlm2.code.markdown import NotADocument, to_markdown
from assets.internlm2.code.schema import LeftOut, SourceFile, source_file

Place = tuple[str, str, Path]
"""A repository's name, a path in it, and where the file lies."""


def folder_places(folder: Path) -> Iterator[Place]:
    """Every file of every repository below `folder`, sorted; hidden files, symbolic links and `.git` are passed over.

    Raises InputError where there is no repository.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", "give a folder whose sub-folders are repositories")
    repositories = sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.name))
    if not repositories:
        raise InputError(f"{folder} holds no repository", "put each repository into a sub-folder of its own")
    for repository in repositories:
        for inside, subfolders, names in os.walk(repository):
            subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name))
            for name in sorted(names):
                path = Path(inside, name)
                if not _is_hidden(name) and not path.is_symlink():
                    yield repository.name, path.relative_to(repository).as_posix(), path


def library_places(min_files: int) -> Iterator[Place]:
    """The modules of every package of the standard library that has at least `min_files`, a repository each.

    Paths begin with the package's name, as in a repository whose folder holds the package.
    """
    root = standard_library()
    files = [(path.relative_to(root), path) for path in library_files(root)]
    counts = Counter(relative.parts[0] for relative, _ in files if len(relative.parts) > 1)
    for relative, path in files:
        if len(relative.parts) > 1 and counts[relative.parts[0]] >= min_files:
            yield relative.parts[0], relative.as_posix(), path


def inventory(places: Iterator[Place]) -> dict[str, object]:
    """Number of files, bytes, and a digest over every name and content: what identifies the input."""
    total, n_files, n_bytes = hashlib.sha256(), 0, 0
    for repo, relative, path in places:
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{content} {repo}/{relative}\n".encode("utf-8", "surrogateescape"))
        n_files, n_bytes = n_files + 1, n_bytes + path.stat().st_size
    return {"files": n_files, "bytes": n_bytes, "digest": total.hexdigest()}


def read_files(places: Iterator[Place], max_bytes: int) -> Iterator[SourceFile | LeftOut]:
    """The files in order, documentation as markdown.

    Dropped: unknown_type, too_large (above `max_bytes`), empty. Faulty, with a detail: invalid_utf8, unreadable,
    not_a_document.
    """
    for repo, relative, path in places:
        yield _read(repo, relative, path, max_bytes)


def _read(repo: str, relative: str, path: Path, max_bytes: int) -> SourceFile | LeftOut:
    file = f"{repo}/{relative}"
    found = classify(relative)
    if found is None:
        return LeftOut(file, "unknown_type")
    language, kind = found
    try:
        if path.stat().st_size > max_bytes:
            return LeftOut(file, "too_large")
        text = path.read_bytes().decode("utf-8-sig")
        file.encode()
        if kind == "document":
            text, language = to_markdown(text, language), "markdown"
    except UnicodeError as error:
        return LeftOut(file.encode("utf-8", "backslashreplace").decode(), "invalid_utf8", str(error))
    except OSError as error:
        return LeftOut(file, "unreadable", error.strerror or str(error))
    except NotADocument as error:
        return LeftOut(file, "not_a_document", str(error))
    # One form of line ends, so that a file and its copy from another system are the same text.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return source_file(repo, relative, language, kind, text) if text.strip() else LeftOut(file, "empty")


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
