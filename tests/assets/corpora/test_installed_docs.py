"""Installed documentation: docstrings without imports, man pages without troff, READMEs, and what is left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.core.lake import Lake
from assets.core.resources import LakeResource
from assets.core.rows import RowsResource
from assets.corpora import docs_assets
from assets.corpora.docs_config import InstalledDocsConfig
from assets.corpora.installed_docs import DocFile, doc_files, docstrings, inventory, read_docs, without_troff

MAN = r""".\" A comment
.TH TOOL 5
.SH NAME
tool \- does \fBone\fR thing
.SH DESCRIPTION
.PP
Give
.B \-v
to hear more \(aqnow\(aq.\" hidden
.if n .nop
"""


def test_docstrings_are_read_without_running_the_module() -> None:
    """Outer ones first, those of methods too; a module that would fail to import is read like any other."""
    source = '"""Top."""\nraise SystemExit\nclass A:\n    """Class."""\n    def f(self):\n        """Method."""\n'
    assert docstrings(source) == ["Top.", "Class.", "Method."]


def test_man_pages_lose_their_requests_and_keep_their_words() -> None:
    """Headings and words in another font are text; comments and requests are not."""
    words = " ".join(without_troff(MAN).split())
    assert words == "NAME tool - does one thing DESCRIPTION Give -v to hear more 'now'."


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    man, docs = tmp_path / "man", tmp_path / "doc"
    (man / "man5").mkdir(parents=True)
    (docs / "tool").mkdir(parents=True)
    (man / "man5" / "tool.5.gz").write_bytes(gzip.compress(MAN.encode()))
    (man / "man5" / "other.5").symlink_to("tool.5.gz")
    (docs / "tool" / "README.md").write_text("How to use the tool.")
    (docs / "tool" / "changelog.md").write_text("What changed.")
    (docs / "tool" / "LICENSE.txt").write_text("Do as you like.")
    (docs / "tool" / "tool.png").write_bytes(b"\x89PNG")
    return man, docs


def test_files_are_found_by_kind_and_in_a_fixed_order(folders: tuple[Path, Path]) -> None:
    """No link twice, no licence, no change log, no picture; a package that is not installed is left out."""
    files = list(doc_files(["polars", "no-such-package"], folders[0], ["5"], folders[1]))
    assert files == list(doc_files(["polars", "no-such-package"], folders[0], ["5"], folders[1]))
    assert [(file.format, file.package, file.module) for file in files if file.format in ("man", "text")] == [
        ("man", "man", "tool.5"),
        ("text", "doc", "tool"),
    ]
    python = {(file.package, file.module) for file in files if file.format == "python"}
    assert {("statistics", "statistics"), ("json", "json.decoder"), ("polars", "polars.series.series")} <= python
    assert "polars" in {file.module for file in files if file.format == "metadata"}


def test_a_change_of_any_file_changes_the_inventory(folders: tuple[Path, Path]) -> None:
    """It is what the fingerprint knows of the world outside the graph."""

    def known() -> dict[str, object]:
        return inventory(list(doc_files(["polars"], folders[0], ["5"], folders[1])))

    before = known()
    assert known() == before
    (folders[1] / "tool" / "README.md").write_text("How not to use it.")
    assert known() != before


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    """One broken file must not end the reading of the others."""
    (tmp_path / "bad.py").write_text("def (")
    (tmp_path / "bare.py").write_text("x = 1\n")
    (tmp_path / "long.txt").write_text("word " * 50)
    files = [
        DocFile("python", "p", "p.bad", str(tmp_path / "bad.py")),
        DocFile("python", "p", "p.bare", str(tmp_path / "bare.py")),
        DocFile("text", "doc", "d", str(tmp_path / "long.txt")),
        DocFile("text", "doc", "d", str(tmp_path / "gone.txt")),
        DocFile("metadata", "polars", "polars", "polars"),
    ]
    read = read_docs(docs_assets.frame(files), max_bytes=100)
    assert read["problem"].to_list() == ["not_python", "no_text", "too_long", "unreadable", ""]
    assert "DataFrame" in read["text"][4]


def test_the_asset_counts_every_file(
    tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated texts and empty files are counted by reason, and a second run does no work."""
    (folders[1] / "tool" / "again.md").write_text("How to use the tool.")
    files = list(doc_files(["polars"], folders[0], ["5"], folders[1]))
    few = [
        file for file in files if file.format in ("man", "text") or file.module in ("statistics", "keyword", "polars")
    ]
    monkeypatch.setattr(docs_assets, "files_of", lambda config: few)

    def run() -> bool:
        result = dg.materialize(
            [docs_assets.installed_docs],
            resources={
                "lake": LakeResource(root=str(tmp_path / "lake"), work=str(tmp_path / "work")),
                "rows": RowsResource(workers=1),
            },
            run_config=dg.RunConfig(ops={"corpora__installed_docs": InstalledDocsConfig(packages=["polars"])}),
        )
        (event,) = result.get_asset_materialization_events()
        return bool(event.materialization.metadata["reused"].value)

    assert [run(), run()] == [False, True]
    made = Lake(str(tmp_path / "lake"), tmp_path / "work").get("corpora/installed_docs")
    assert made.manifest.ledger is not None
    assert made.manifest.ledger["dropped"]["duplicate"] == 1
    rows = made.read()
    assert rows.filter(pl.col("module") == "statistics")["text"].item().startswith("Basic statistics module.")
    assert str(tmp_path) not in "".join(str(row) for row in rows.rows())
