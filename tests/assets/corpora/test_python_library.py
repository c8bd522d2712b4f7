"""The standard library as a corpus."""

from __future__ import annotations

import ast
import platform
import time
from pathlib import Path

import pytest

from assets.core.errors import InputError
from assets.corpora.python_library import inventory, read_python_library
from assets.corpora.schema import DOCUMENT_SCHEMA, Document, Reject, documents_frame

MAX_CLASS_BYTES = 4096


@pytest.fixture(scope="module")
def library() -> list[Document]:
    rows = list(read_python_library(MAX_CLASS_BYTES))
    assert not [row for row in rows if isinstance(row, Reject)]
    return [row for row in rows if isinstance(row, Document)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small library with what must be read and what must not."""
    files: dict[str, str | bytes] = {
        "b.py": 'def f():\n    """Text of f."""\n    return 1\n',
        "a/__init__.py": '"""Text of a."""\n',
        "a/inner.py": "def f():\n    return 1\n",
        "broken.py": "def f(:\n",
        "latin.py": b"# -*- coding: latin-1 -*-\ndef g():\n    return '\xe9'\n",
        "wrong_bytes.py": b"x = '\xff'\n",
        "pydoc_data/topics.py": "topics = {'b': 'About b.\\n', 'a': 'About a.'}\n",
        "_sysconfigdata_x.py": "def no(): pass\n",
        "test/t.py": "def no(): pass\n",
        "a/tests/t.py": "def no(): pass\n",
        "idlelib/i.py": "def no(): pass\n",
        "site-packages/s.py": "def no(): pass\n",
        "config-3.11-x/c.py": "def no(): pass\n",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


def test_walk_reads_modules_in_order_and_leaves_tests_out(tree: Path) -> None:
    """Order and selection are part of what the corpus is: another order would be another training run."""
    rows = [row for row in read_python_library(100, tree) if isinstance(row, Document)]
    assert [(r.kind, r.package, r.module, r.name) for r in rows] == [
        ("prose", "a", "a", "<module>"),
        ("code", "a", "a.inner", "f"),
        ("code", "b", "b", "f"),
        ("prose", "b", "b", "f"),
        ("code", "latin", "latin", "g"),
        ("prose", "pydoc_data", "pydoc_data.topics", "a"),
        ("prose", "pydoc_data", "pydoc_data.topics", "b"),
    ]
    assert rows[4].text == "def g():\n    return 'é'"


def test_file_that_is_not_python_is_a_reject_and_reading_goes_on(tree: Path) -> None:
    """One broken file must neither stop the walk nor vanish."""
    rejects = [row for row in read_python_library(100, tree) if isinstance(row, Reject)]
    assert [(Path(r.file).name, r.line, r.reason) for r in rejects] == [
        ("broken.py", 1, "not_python"),
        ("wrong_bytes.py", None, "not_python"),
    ]


def test_equal_functions_of_one_name_have_different_ids(tmp_path: Path) -> None:
    """Two branches may define the same function; one id for both would make one row of two."""
    body = "    def f():\n        return 1\n"
    (tmp_path / "m.py").write_text(f"if a:\n{body}else:\n{body}")
    first, second = (row for row in read_python_library(100, tmp_path) if isinstance(row, Document))
    assert first.text == second.text
    assert first.id != second.id


def test_inventory_follows_content_and_names(tree: Path) -> None:
    """A fingerprint that misses a change would serve a stale corpus; one that moves alone would never hit."""
    before = inventory(tree)
    assert before == inventory(tree)
    assert (before.python_version, before.n_files) == (platform.python_version(), 7)
    (tree / "test" / "t.py").write_text("changed = 1\n")
    assert inventory(tree) == before
    (tree / "b.py").rename(tree / "c.py")
    renamed = inventory(tree)
    assert renamed.n_bytes == before.n_bytes
    assert renamed.digest != before.digest
    (tree / "c.py").write_text("changed = 1\n")
    assert inventory(tree).digest != renamed.digest


def test_folder_without_modules_says_what_to_do(tmp_path: Path) -> None:
    """A Python stripped of its sources would otherwise give an empty corpus."""
    with pytest.raises(InputError, match="no Python module found"):
        list(read_python_library(100, tmp_path))


def test_real_library_is_a_corpus(library: list[Document]) -> None:
    """The corpus that all small experiments stand on: thousands of units, unique ids, storable."""
    frame = documents_frame(library)
    assert frame.schema == DOCUMENT_SCHEMA
    assert frame["id"].is_unique().all()
    counts = dict(frame["kind"].value_counts().iter_rows())
    assert counts["code"] > 8_000
    assert counts["prose"] > 5_000
    assert frame["package"].n_unique() > 150
    assert (frame["n_bytes"] == frame["text"].str.len_bytes()).all()
    assert not frame.filter(package="test").height
    assert not frame.filter(package="idlelib").height


def test_every_code_unit_of_the_real_library_parses_to_one_definition(library: list[Document]) -> None:
    """Eleven thousand ways to get the cutting wrong: each unit must be one whole definition of its name."""
    for row in library:
        if row.kind == "code":
            [statement] = ast.parse(row.text).body
            assert isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            assert statement.name == row.name.rsplit(".", 1)[-1]
            assert ast.get_docstring(statement, clean=False) is None, (row.module, row.name)


def test_inventory_of_the_real_library_is_cheap() -> None:
    """It is computed at every planning of the graph, so it must not be felt."""
    inventory()
    start = time.perf_counter()
    inventory()
    assert time.perf_counter() - start < 0.5
