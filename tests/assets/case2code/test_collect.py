"""From modules to functions that run on their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.case2code.collect import Rejected, collect
from assets.case2code.modules import Module, read_modules
from assets.case2code.schema import Function
from assets.core.errors import InputError
from assets.corpora.schema import Reject

GOOD = '''
"""A module."""
import math
def area(r: float):
    """Of a circle."""
    return math.pi * square(r)
def square(x): return x * x
def silent(x): print(x)
def foreign(x): return missing(x)
class Box:
    @staticmethod
    def twice(x): return 2 * x
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "a.py": GOOD,
        "pkg/__init__.py": "",
        "pkg/b.py": "def square(x): return x*x  # again\n",
        "bad.py": "def",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.py").write_bytes(b"x = '\xff'\n")
    return tmp_path


def modules(folder: Path) -> list[Module]:
    return [module for module in read_modules(folder) if isinstance(module, Module)]


def test_modules_of_a_folder_are_read_whole_and_by_dotted_name(folder: Path) -> None:
    """A user's own sources take the path of the standard library; what cannot be decoded is a row with a reason."""
    found = list(read_modules(folder))
    assert [(m.module, m.package, m.is_package) for m in found if isinstance(m, Module)] == [
        ("a", "a", False),
        ("bad", "bad", False),
        ("pkg", "pkg", True),
        ("pkg.b", "pkg", False),
    ]
    assert [row.reason for row in found if isinstance(row, Reject)] == ["not_python"]
    assert modules(folder)[0].source == GOOD


def test_a_folder_without_modules_is_an_error(tmp_path: Path) -> None:
    """A mistyped folder must not become an empty dataset."""
    with pytest.raises(InputError):
        list(read_modules(tmp_path))


def test_every_function_is_kept_or_rejected_with_a_reason(folder: Path) -> None:
    """The row ledger needs each of them exactly once; the second `square` has nothing new."""
    rows = list(collect(modules(folder), closure=True, methods=True, docstrings=False))
    assert [(row.name, row.reason, row.detail) for row in rows if isinstance(row, Rejected)] == [
        ("silent", "no_return", ""),
        ("foreign", "unresolved", "missing"),
        ("<module>", "not_python", "invalid syntax (<unknown>, line 1)"),
        ("square", "duplicate", ""),
    ]
    kept = {row.name: row for row in rows if isinstance(row, Function)}
    assert list(kept) == ["area", "square", "Box.twice"]
    assert kept["area"].code == (
        "import math\n\ndef area(r: float):\n    return math.pi * square(r)\n\ndef square(x):\n    return x * x\n"
    )
    assert kept["Box.twice"].func_name == "twice"
    assert [row.self_contained for row in kept.values()] == [False, True, True]
    assert len({row.id for row in kept.values()}) == 3


def test_without_closure_only_what_needs_builtins_alone_is_kept(folder: Path) -> None:
    """The official pool: functions as they stand."""
    rows = list(collect(modules(folder), closure=False, methods=False, docstrings=True))
    assert [row.name for row in rows if isinstance(row, Function)] == ["square"]
    assert [row.name for row in rows if isinstance(row, Rejected) and row.reason == "unresolved"] == ["area", "foreign"]
