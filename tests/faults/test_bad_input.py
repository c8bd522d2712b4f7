"""What a user gets wrong is told in a line that names it, and the remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.faults.checkout import (
    BROKEN,
    DOCUMENTS,
    Checkout,
    Done,
    open_lake,
    published,
    tiny_config,
    write_config,
)
from tests.faults.conftest import Undisturbed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def told(done: Done) -> tuple[str, str]:
    """The error's line and its remedy; the run failed, and nobody sees a traceback."""
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.err
    lines = [line.rsplit("\r", 1)[-1] for line in done.err.splitlines()]
    at = next(number for number, line in enumerate(lines) if line.startswith("error: "))
    assert lines[at + 1].startswith("  → ")
    return lines[at], lines[at + 1]


def truncated_parquet(folder: Path) -> Path:
    file = folder / "rows.parquet"
    pl.DataFrame({"text": [f"{number} words" * 20 for number in range(1000)]}).write_parquet(file)
    file.write_bytes(file.read_bytes()[:-500])
    return file


def other_column(folder: Path) -> Path:
    file = folder / "rows.parquet"
    pl.DataFrame({"content": ["some words"]}).write_parquet(file)
    return file


def empty_file(folder: Path) -> Path:
    (folder / "rows.jsonl").touch()
    return folder / "rows.jsonl"


def truncated_gzip(folder: Path) -> Path:
    import gzip

    file = folder / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps({"text": "words"}).encode() * 500)[:-20])
    return file


def too_few(folder: Path) -> Path:
    file = folder / "rows.jsonl"
    file.write_text(
        "".join(json.dumps({"text": f"{number} " + "words and more words " * 10}) + "\n" for number in range(9))
    )
    return file


BAD = {
    "a folder that does not exist": (lambda folder: folder / "nowhere", "nowhere"),
    "a truncated Parquet file": (truncated_parquet, "rows.parquet"),
    "a column of another name": (other_column, "'text'"),
    "an empty file": (empty_file, "rows.jsonl"),
    "a truncated gzip file": (truncated_gzip, "rows.jsonl.gz"),
    "too few documents": (too_few, "9 texts"),
}


@pytest.fixture(scope="module")
def prepared(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the Python library is read already, because a bad corpus does not stop that."""
    home = tmp_path_factory.mktemp("bad")
    library = "lake/corpora/python_library"
    shutil.copytree(undisturbed.home / library, home / library)
    return home


@pytest.fixture(scope="module")
def any_corpus(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny configuration, whose corpus is that of the environment."""
    config = tiny_config(corpus)
    del config["ops"]["corpora__files"]["config"]["path"]
    return str(write_config(tmp_path_factory.mktemp("bad-config") / "tiny.yaml", config))


@pytest.mark.parametrize("case", BAD)
def test_bad_corpus(case: str, checkout: Checkout, prepared: Path, any_corpus: str, tmp_path: Path) -> None:
    """Through the whole command: exit code 1, no traceback, the file and the remedy named, nothing half-written."""
    make, named = BAD[case]
    done = checkout.run(prepared, "demo", "--config", any_corpus, ATHANOR_CORPUS=str(make(tmp_path)))
    line, remedy = told(done)
    assert named in line
    assert len(remedy) > len("  → ") + 10
    assert "corpora/python_library@" in published(prepared)
    assert all(dataset.is_whole for dataset in open_lake(prepared).datasets())
    assert list((prepared / "lake" / ".staging").glob("*")) == []


def test_broken_lines_are_dead_letters(undisturbed: Undisturbed) -> None:
    """Four lines of a corpus that are no documents: the run ends well, and each is found with file, line and reason."""
    files = open_lake(undisturbed.home).get("corpora/files")
    assert files.manifest.ledger == {
        "rows_in": DOCUMENTS + len(BROKEN), "rows_out": DOCUMENTS, "failed": len(BROKEN), "dropped": {},
    }  # fmt: skip
    dead = files.dead_letters()
    assert dead["reason"].to_list() == ["broken_json", "not_an_object", "missing_field", "non_text_field"]
    assert dead["line"].to_list() == ["51", "52", "53", "54"]
    assert all(file.endswith("1.jsonl") for file in dead["file"])


def test_unknown_profile(checkout: Checkout, prepared: Path) -> None:
    """A misspelt setting names those that there are."""
    line, remedy = told(checkout.run(prepared, "demo", ATHANOR_PROFILE="labtop"))
    assert "'labtop'" in line
    assert "laptop" in remedy
