"""Which files of its repository a file depends on: each import as written, found among the repository's files.

Python, C and C++, JavaScript and TypeScript, Java and Go. A batched import (a package's `__init__.py`, a header that
only includes others, a Java or Go package) is refined to the files whose names the importing file uses (paper, §3.1.2).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath

from assets.internlm2.code.declarations import declared_names, is_umbrella, words
from assets.internlm2.code.imports import imports
from assets.internlm2.code.python_modules import PythonModules

SCRIPT_ENDS = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.tsx", "/index.js")


def dependencies(files: Mapping[str, tuple[str, str]]) -> dict[str, set[str]]:
    """For every file of `{path: (language, text)}` the files it imports; none for languages that are not read."""
    python = PythonModules({path: text for path, (language, text) in files.items() if language == "python"})
    others = _Files(files)
    # Sorted, because in packages that import each other what is found depends on where one begins.
    return {
        path: python.dependencies(path) if language == "python" else others.dependencies(path)
        for path, (language, _) in sorted(files.items())
    }


class _Files:
    """The files of a repository by the ends of their paths, and what the languages but Python mean by an import."""

    def __init__(self, files: Mapping[str, tuple[str, str]]) -> None:
        self._files = files
        self._words: dict[str, frozenset[str]] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._readers: dict[str, Callable[[str, str], Iterable[str]]] = {
            "c": self._include, "cpp": self._include, "cuda": self._include, "javascript": self._script,
            "typescript": self._script, "java": self._java, "go": self._go,
        }  # fmt: skip

    def dependencies(self, path: str) -> set[str]:
        """The files that `path` imports, itself left out."""
        language, text = self._files[path]
        read = self._readers.get(language, _nothing)
        return {file for each in imports(language, text) for file in read(path, each.target)} - {path}

    @cached_property
    def _by_suffix(self) -> dict[str, list[str]]:
        """Paths by every end of them, those with the shorter path first."""
        found: dict[str, list[str]] = {}
        for path in sorted(self._files, key=lambda path: (path.count("/"), path)):
            parts = path.split("/")
            for start in range(len(parts)):
                found.setdefault("/".join(parts[start:]), []).append(path)
        return found

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        """The files of every folder, by every end of the folder's path; a folder's own name only for the first."""
        found: dict[str, list[str]] = {}
        owner: dict[str, str] = {}
        for path in sorted(self._files, key=lambda path: (path.count("/"), path)):
            folder = posixpath.dirname(path)
            parts = folder.split("/")
            for start in range(len(parts)):
                end = "/".join(parts[start:])
                if owner.setdefault(end, folder) == folder:
                    found.setdefault(end, []).append(path)
        return found

    def _include(self, user: str, target: str) -> Iterator[str]:
        header = self._header(user, target)
        if header is None:
            return
        gathered = self._gathered(header, {header})
        used = [path for path in gathered if self._declared(path) & self._used(user)]
        yield from used or [header]

    def _header(self, user: str, target: str) -> str | None:
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(user), target))
        if beside in self._files:
            return beside
        return next(iter(self._by_suffix.get(posixpath.normpath(target), [])), None)

    def _gathered(self, header: str, seen: set[str]) -> list[str]:
        """The headers behind an umbrella header, umbrellas among them opened; none for a header of its own."""
        language, text = self._files[header]
        if not is_umbrella(text):
            return []
        found = []
        for each in imports(language, text):
            inner = self._header(header, each.target)
            if inner is not None and inner not in seen:
                seen.add(inner)
                found += self._gathered(inner, seen) or [inner]
        return found

    def _script(self, user: str, target: str) -> Iterator[str]:
        if target.startswith("."):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(user), target))
            # TypeScript names the .js that a .ts will become.
            places = (place, place.removesuffix(".js")) if place.endswith(".js") else (place,)
            tried = (f"{each}{end}" for each in places for end in SCRIPT_ENDS)
            yield from islice((path for path in tried if path in self._files), 1)

    def _java(self, user: str, target: str) -> Iterator[str]:
        parts = target.removesuffix(".*").split(".")
        # A static import names a member, or all members, of a class.
        for length in (len(parts), len(parts) - 1):
            if found := self._by_suffix.get("/".join(parts[:length]) + ".java"):
                yield found[0]
                return
        if target.endswith(".*"):
            package = self._folders.get("/".join(parts), [])
            yield from (path for path in package if PurePosixPath(path).stem in self._used(user))

    def _go(self, user: str, target: str) -> Iterator[str]:
        parts = target.split("/")
        if "." not in parts[0]:
            return  # a package of Go's own library
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        folder = next((self._folders[end] for end in ends if end in self._folders), [])
        package = [path for path in folder if path.endswith(".go") and not path.endswith("_test.go")]
        used = [path for path in package if self._declared(path) & self._used(user)]
        yield from used or package

    def _declared(self, path: str) -> frozenset[str]:
        if path not in self._names:
            self._names[path] = declared_names(*self._files[path])
        return self._names[path]

    def _used(self, path: str) -> frozenset[str]:
        if path not in self._words:
            self._words[path] = words(self._files[path][1])
        return self._words[path]


def _nothing(user: str, target: str) -> Iterable[str]:
    return ()
