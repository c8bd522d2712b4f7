"""What counts as a function's code: everything that can change its result, and nothing else."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from assets.core import sources
from assets.core.sources import code_closure

TREE = {
    "assets/__init__.py": "",
    "assets/core/__init__.py": "",
    "assets/core/lake/__init__.py": "from assets.core.lake.store import SIZE\n",
    "assets/core/lake/store.py": "SIZE = 1\n",
    "assets/core/lakeside.py": "SIZE = 1\n",
    "assets/toy/__init__.py": "",
    "assets/toy/config.py": """
from pydantic import BaseModel

PLANS = ("a", "b")
SPARE = 1
class Config(BaseModel):
    rows: int = 3
    def doubled(self) -> int:
        return 2 * self.rows
""",
    "assets/toy/plots.py": "def draw() -> None: ...\n",
    "assets/toy/words.py": """
from assets.toy.deep import split
from . import sibling
def words(text):
    return split(text)
""",
    "assets/toy/deep.py": "def split(text):\n    return text.split()\n",
    "assets/toy/sibling.py": "VALUE = 1\n",
    "assets/toy/neighbour.py": "VALUE = 1\n",
    "assets/toy/pack/__init__.py": "from .inner import counted\nfrom .other import weighed\n",
    "assets/toy/pack/other.py": "def weighed():\n    return 1\n",
    "assets/toy/pack/inner.py": "def counted():\n    return 1\n",
    "models/__init__.py": "",
    "models/net.py": "WIDTH = 8\n",
    "assets/toy/make.py": '''
"""A module."""
import numpy as np, json
from assets.core import lakeside
from assets.core.lake import SIZE
from assets.toy import neighbour, plots
from assets.toy.config import PLANS, SPARE, Config
from assets.toy.pack import counted
from assets.toy.words import words
try:
    import fast
except ImportError:
    fast = None

TABLE = {"a": 1}
TABLE["b"] = 2
LIMIT = 10
def helper(value):
    """Helps."""
    return min(value, LIMIT)  # a comment
def hidden():
    return 1
def unused():
    return neighbour.VALUE, SPARE
def decorated(function):
    return function
@decorated
def make(out, config: Config):
    """Makes."""
    from models.net import WIDTH
    plots.draw()
    hidden = [hidden for hidden in range(3)]
    return helper(np.sum(TABLE["a"])), words(""), counted(), WIDTH, SIZE, lakeside.SIZE, PLANS, fast
''',
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def load(tree: Path, function: str = "make") -> Callable[..., object]:
    """A function whose module lies in the tree; its code is never run."""
    file = tree / "assets/toy/make.py"
    text = f"def {function}(): ..."
    namespace = {"__name__": "assets.toy.make"}
    exec(compile(text, str(file), "exec"), namespace)
    return namespace[function]  # type: ignore[return-value]


def closure(tree: Path, function: str = "make") -> dict[str, str]:
    return code_closure(load(tree, function), tree)


def edit(tree: Path, name: str, old: str, new: str) -> None:
    """Replace in a file, whose time of change becomes another one even on a coarse clock."""
    file = tree / name
    assert old in file.read_text()
    before = file.stat().st_mtime_ns
    file.write_text(file.read_text().replace(old, new))
    os.utime(file, ns=(before + 1_000_000, before + 1_000_000))


EQUAL = {
    "a comment": ("assets/toy/make.py", "# a comment", "# another"),
    "a docstring": ("assets/toy/make.py", '"""Makes."""', '"""Makes rows."""'),
    "a docstring less": ("assets/toy/make.py", '    """Helps."""\n', ""),
    "the module's docstring": ("assets/toy/make.py", '"""A module."""', '"""The module."""'),
    "layout": ("assets/toy/make.py", "min(value, LIMIT)", "min(\n        value, LIMIT,\n    )"),
    "quotes": ("assets/toy/make.py", 'TABLE["a"]', "TABLE['a']"),
    "a comment in an imported module": ("assets/toy/deep.py", "def split", "# cuts\ndef split"),
    "a docstring in an imported module": ("assets/toy/deep.py", "return", '"""Cuts."""\n    return'),
    "a function that is not reached": ("assets/toy/make.py", "return neighbour.VALUE", "return 2 * neighbour.VALUE"),
    "a function whose name is that of a local variable": ("assets/toy/make.py", "    return 1", "    return 2"),
    "a function whose name is that of a parameter": (
        "assets/toy/make.py",
        "def decorated",
        "def out():\n    return 1\ndef decorated",
    ),
    "what only that function imports": ("assets/toy/neighbour.py", "1", "2"),
    "a neighbour's import": ("assets/toy/make.py", "np, json", "np, csv, json"),
    "a decorator of the entry": ("assets/toy/make.py", "@decorated", "@decorated\n@decorated"),
    "machinery": ("assets/core/lake/store.py", "1", "2"),
    "a plot": ("assets/toy/plots.py", "...", "print()"),
    "a default in the configuration": ("assets/toy/config.py", "rows: int = 3", "rows: int = 4"),
    "an unused constant beside the configuration": ("assets/toy/config.py", "SPARE = 1", "SPARE = 2"),
    "what a package passes on to others": ("assets/toy/pack/other.py", "return 1", "return 2"),
    "the package's own file": ("assets/toy/__init__.py", "", "VERSION = 1\n"),
}
DIFFERENT = {
    "the function": ("assets/toy/make.py", "counted()", "counted(), 1"),
    "a helper that is called in a comprehension": (
        "assets/toy/make.py",
        "return helper(",
        "return [helper for _ in ()] or min(",
    ),
    "a local import": ("assets/toy/make.py", "    from models.net import WIDTH\n", "    WIDTH = 1\n"),
    "its signature": ("assets/toy/make.py", "def make(out,", "def make(out, *,"),
    "a helper": ("assets/toy/make.py", "min(value", "max(value"),
    "a helper's decorator": ("assets/toy/make.py", "def helper", "@decorated\ndef helper"),
    "a constant": ("assets/toy/make.py", "LIMIT = 10", "LIMIT = 11"),
    "a table": ("assets/toy/make.py", '{"a": 1}', '{"a": 3}'),
    "an entry added to a table": ("assets/toy/make.py", 'TABLE["b"] = 2', 'TABLE["b"] = 3'),
    "a call that changes a table": ("assets/toy/make.py", "LIMIT = 10", "LIMIT = 10\nTABLE.update(c=1)"),
    "an import that may fail": ("assets/toy/make.py", "fast = None", "fast = False"),
    "an imported module": ("assets/toy/words.py", "return split(text)", "return split(text)[:1]"),
    "that module's import": ("assets/toy/deep.py", "text.split()", "text.split(',')"),
    "a relative import": ("assets/toy/sibling.py", "1", "2"),
    "a package's relative import": ("assets/toy/pack/inner.py", "return 1", "return 2"),
    "from where a package takes a name": ("assets/toy/pack/__init__.py", "from .inner import counted", "counted = min"),
    "an import inside the function": ("models/net.py", "8", "16"),
    "a module named like machinery": ("assets/core/lakeside.py", "1", "2"),
    "a constant beside the configuration": ("assets/toy/config.py", '("a", "b")', '("a", "b", "c")'),
    "a method of the configuration": ("assets/toy/config.py", "2 * self.rows", "3 * self.rows"),
    "another library": ("assets/toy/make.py", "import numpy as np", "import polars as np"),
}


@pytest.mark.parametrize("change", EQUAL)
def test_what_changes_no_result_does_not_count(tree: Path, change: str) -> None:
    """A comment or a neighbour's edit must not train a model again."""
    before = closure(tree)
    edit(tree, *EQUAL[change])
    assert closure(tree) == before


@pytest.mark.parametrize("change", DIFFERENT)
def test_what_may_change_a_result_counts(tree: Path, change: str) -> None:
    """A result is never reused after the code that made it changed."""
    before = closure(tree)
    edit(tree, *DIFFERENT[change])
    assert closure(tree) != before


def test_closure_names_modules_and_libraries(tree: Path) -> None:
    """The keys are what the log shows when something is rebuilt."""
    assert set(closure(tree)) == {
        "assets.core.lakeside", "assets.toy.config:Config", "assets.toy.config:PLANS", "assets.toy.deep",
        "assets.toy.make", "assets.toy.pack.inner", "assets.toy.pack:counted", "assets.toy.sibling", "assets.toy.words",
        "library:numpy", "models.net",
    }  # fmt: skip


def test_version_of_a_library_counts(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade of what computes rebuilds; an upgrade of what only declares or shows does not."""
    before = closure(tree)
    versions: Callable[[str], str | None] = lambda name: "99" if name == "numpy" else None  # noqa: E731
    monkeypatch.setattr(sources, "library_version", versions)
    after = closure(tree)
    assert after["library:numpy"] == "99"
    assert {name for name in before if before[name] != after[name]} == {"library:numpy"}
    assert sources.SILENT_LIBRARIES.isdisjoint({"numpy", "torch", "polars", "sklearn"})


def test_two_functions_of_a_module_have_closures_of_their_own(tree: Path) -> None:
    """Editing one asset of a module leaves the module's other assets as they are."""
    edit(tree, "assets/toy/make.py", "min(value", "max(value")
    unused = closure(tree, "unused")
    edit(tree, "assets/toy/make.py", "max(value", "sum(value")
    assert closure(tree, "unused") == unused
    edit(tree, "assets/toy/neighbour.py", "1", "2")
    assert closure(tree, "unused") != unused


def test_a_star_import_counts_whole(tree: Path) -> None:
    """Which names a star brings is not known: all it brings counts."""
    edit(
        tree,
        "assets/toy/make.py",
        "import numpy as np, json",
        "import numpy as np, json\nfrom assets.toy.neighbour import *",
    )
    before = closure(tree)
    edit(tree, "assets/toy/neighbour.py", "1", "2")
    assert closure(tree) != before


def make() -> None: ...


class Maker:
    def make(self) -> None: ...


def test_code_that_cannot_be_followed_is_refused() -> None:
    """A function inside another one reads variables that no source shows: it is refused, not half understood."""

    def inner() -> None: ...

    def nested() -> Callable[[], None]:
        def make() -> None: ...

        return make

    for function in (inner, lambda: None, nested(), Maker.make, Maker().make):
        with pytest.raises(TypeError, match="not defined at the top of its module"):
            code_closure(function)
    assert code_closure(make).keys() == {__name__}


def test_installed_spec_is_not_needed(tree: Path) -> None:
    """Nothing is imported: a module that cannot be imported here (for want of a GPU library) is followed too."""
    assert importlib.util.find_spec("fast") is None
    assert "assets.toy.words" in closure(tree)
