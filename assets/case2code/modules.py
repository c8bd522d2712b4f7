"""Python modules as rows: the standard library, which every machine has, or a folder of one's own. The only file here
that reads files."""

from __future__ import annotations

import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from assets.core.ids import content_id
from assets.corpora.python_library import library_files, standard_library
from assets.corpora.schema import Reject


@dataclass(frozen=True, slots=True)
class Module:
    """A source file whole, since a function's imports and constants lie outside it. `package` is the top-level package
    or module, `module` the dotted name, `is_package` whether the file is an `__init__.py`."""

    id: str
    package: str
    module: str
    is_package: bool
    source: str
    parents: list[str] = field(default_factory=list)


def read_modules(folder: Path | None = None) -> Iterator[Module | Reject]:
    """Every module below `folder` (default: the running interpreter's standard library), sorted by path.

    Tests, idlelib and site-packages are left out. What cannot be decoded yields a `Reject`; what does not parse is left
    to the collection. Raises InputError when the folder holds no module.
    """
    root = folder or standard_library()
    for path in library_files(root):
        relative = path.relative_to(root)
        parts = relative.with_suffix("").parts
        is_package = parts[-1] == "__init__" and len(parts) > 1
        name = ".".join(parts[:-1] if is_package else parts)
        try:
            with tokenize.open(path) as file:
                source = file.read()
            yield Module(content_id(name, source), parts[0], name, is_package, source)
        except (SyntaxError, UnicodeError) as error:
            yield Reject(str(path), None, "not_python", str(error))
