"""Which files of a repository a Python file imports; what a package's `__init__.py` gathers is found where it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath

from assets.internlm2.code.declarations import declared_names
from assets.internlm2.code.imports import Import, imports

SUFFIXES = (".py", ".pyx", ".pyi")
INIT = "__init__"


class PythonModules:
    """The Python files of a repository, `{path: text}`, by the dotted names they can be imported under.

    A folder without `__init__.py` is a place that absolute imports may start from, as `src` is; of several modules of
    one name the nearest to the importing file is meant, then the one with the shorter path.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._exports: dict[str, dict[str, str]] = {}
        self._imports = {path: imports("python", text) for path, text in texts.items()}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        for path in sorted(self._texts, key=lambda path: (path.count("/"), SUFFIXES.index(_suffix(path)), path)):
            parts = _module_parts(path)
            for start in range(len(parts)):
                root = "/".join(parts[:start])
                # `import json` means Python's own module unless the repository begins with one of that name.
                if start == 0 or not (self._is_package(root) or parts[start] in sys.stdlib_module_names):
                    names.setdefault(".".join(parts[start:]), []).append(path)
        return names

    def dependencies(self, path: str) -> set[str]:
        """The files that `path` imports, itself left out."""
        found = {target for each in self._imports[path] for target in self._targets(path, each)}
        return found - {path}

    def _targets(self, user: str, wanted: Import) -> Iterator[str]:
        module = self._module(user, wanted.target)
        names = wanted.names
        if module and not names and _is_init(module):
            # `import package` says nothing of what is used: the attributes do.
            names = tuple(sorted(set(re.findall(rf"\b{re.escape(wanted.alias)}\.(\w+)", self._texts[user]))))
        if not names and module:
            yield module
        for name in names:
            joined = wanted.target + name if wanted.target.endswith(".") else f"{wanted.target}.{name}"
            target = self._module(user, joined)
            if target is None and module and _is_init(module) and module != user:
                target = self._export(module, name)
            if target or module:
                yield target or module or ""

    def _module(self, user: str, target: str) -> str | None:
        """The file of a dotted name as `user` would import it."""
        name = target.lstrip(".")
        up = len(target) - len(name)
        if not up:
            candidates = self._by_name.get(name, [])
            return (
                min(candidates, key=lambda path: (-_shared_folders(path, user), path.count("/")))
                if candidates
                else None
            )
        folder = PurePosixPath(user).parent.parts
        if up > len(folder) + 1:
            return None
        place = "/".join((*folder[: len(folder) - (up - 1)], *filter(None, name.split("."))))
        tried = (f"{place}{end}" for end in SUFFIXES) if name else ()
        inits = (f"{place}/{INIT}{end}".lstrip("/") for end in SUFFIXES)
        return next((path for path in (*tried, *inits) if path in self._texts), None)

    def _export(self, init: str, name: str) -> str | None:
        """The file where a name that an `__init__.py` imports is defined; None where it does not tell."""
        if init not in self._exports:
            self._exports[init] = exports = {}  # entered first: packages may import each other
            for each in self._imports[init]:
                module = self._module(init, each.target)
                if module is None or module == init:
                    continue
                listed = sorted(declared_names("python", self._texts[module])) if each.names == ("*",) else each.names
                for listed_name in listed:
                    deeper = self._export(module, listed_name) if _is_init(module) else None
                    exports.setdefault(listed_name, deeper or module)
        return self._exports[init].get(name)

    def _is_package(self, folder: str) -> bool:
        return any(f"{folder}/{INIT}{end}" in self._texts for end in SUFFIXES)


def _module_parts(path: str) -> tuple[str, ...]:
    parts = PurePosixPath(path).with_suffix("").parts
    return parts[:-1] if parts[-1] == INIT else parts


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _is_init(path: str) -> bool:
    return PurePosixPath(path).stem == INIT


def _shared_folders(one: str, other: str) -> int:
    shared = 0
    for mine, theirs in zip(PurePosixPath(one).parent.parts, PurePosixPath(other).parent.parts, strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared
