"""Crawl files of every layout, sound and broken."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import fsspec
import polars as pl
import pytest

from assets.core.errors import InputError
from assets.corpora.crawl.readers import layout_of, read_captures
from assets.corpora.crawl.schema import Capture, Skip
from assets.corpora.listing import InputFile
from assets.corpora.schema import Reject
from tests.assets.corpora.crawl.tiny_warc import captures, http, members, page, record

ROW = {"url": "https://example.org/a", "timestamp": "2023-03-20", "title": "River"}


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("CC-MAIN-2023-14-00000.warc.gz", "warc"),
        ("a.warc.wet.gz", "warc"),
        ("a.wet", "warc"),
        ("a/b.HTML", "html"),
        ("a.html.gz", "html"),
        ("a.tgz", "tar"),
        ("a.jsonl.zst", "rows"),
        ("a.parquet", "rows"),
        ("a.txt", "text"),
        ("a.py", None),
        ("a.gz", None),
        ("a", None),
    ],
)
def test_layout_by_name(name: str, layout: str | None) -> None:
    """Files of other kinds in the folder are no crawl files."""
    assert layout_of(name) == layout


def test_rows_of_html_and_text(tmp_path: Path) -> None:
    """JSON lines and Parquet: `html` goes before `text`, and where they come from stays with them."""
    rows = [ROW | {"html": page().decode(), "text": ""}, ROW | {"html": "", "text": "plain", "dump": "2020-05"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pl.DataFrame([{"dump": ""} | row for row in rows]).write_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        assert captures(tmp_path / name, dump="2023-14") == [
            Capture(name, 1, page(), "html", ROW["url"], ROW["timestamp"], "2023-14", "River"),
            Capture(name, 2, b"plain", "text", ROW["url"], ROW["timestamp"], "2020-05", "River"),
        ]


def test_whole_files_and_archives(tmp_path: Path) -> None:
    """A file is one record; of an archive each page is, packed or not, and other members are counted."""
    (tmp_path / "a.html.gz").write_bytes(gzip.compress(page()))
    (tmp_path / "a.txt").write_bytes(b"plain")
    packed = gzip.compress(page())
    write_tar(tmp_path / "a.tgz", {"x/1.html": page(), "x/2.html.gz": packed, "3.png": b"x", "4.txt": b"y"})
    assert captures(tmp_path / "a.html.gz") == [Capture("a.html.gz", 1, page(), "html")]
    assert captures(tmp_path / "a.txt") == [Capture("a.txt", 1, b"plain", "text")]
    assert captures(tmp_path / "a.tgz") == [
        Capture("a.tgz", 1, page(), "html"),
        Capture("a.tgz", 2, page(), "html"),
        Skip("content_type"),
        Capture("a.tgz", 4, b"y", "text"),
    ]


def test_dump_comes_from_the_name(tmp_path: Path) -> None:
    """Common Crawl's folders carry the dump's name; the configured one is for files that do not."""
    path = tmp_path / "CC-MAIN-2023-14" / "a.warc"
    path.parent.mkdir()
    path.write_bytes(record(http(page())))
    [found] = captures(path, dump="2020-05")
    assert isinstance(found, Capture)
    assert found.dump == "2023-14"


def test_any_store_of_fsspec() -> None:
    """A crawl may lie in an object store."""
    store = fsspec.filesystem("memory")
    store.pipe("/crawl/a.warc.gz", members(record(http(page()))))
    store.pipe("/crawl/a.jsonl", json.dumps(ROW | {"html": "<p>x</p>"}).encode())
    for name in ("a.warc.gz", "a.jsonl"):
        file = InputFile(store, f"/crawl/{name}", name, f"memory://crawl/{name}")
        [found] = read_captures(file, "", 1_000_000)
        assert isinstance(found, Capture)
        assert found.url.startswith("https://")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"url": "x"}', "missing_field"),
        (b'{"text": 3}', "missing_field"),
        (b'{"text": "\\ud800"}', "invalid_utf8"),
        (b'{"text": "x", "title": "\\ud800"}', "invalid_utf8"),
        (b'{"text": "cut', "broken_json"),
        (b'{"text": "' + b"x" * 50_000_000 + b'"}', "row_too_large"),
    ],
)
def test_bad_rows_are_rejected(tmp_path: Path, line: bytes, reason: str) -> None:
    """A row without text, one that cannot be stored, a line of 50 MB: its neighbours stay."""
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "good"}\n' + line + b'\n{"text": "good"}\n')
    first, bad, last = captures(tmp_path / "a.jsonl")
    assert isinstance(bad, Reject)
    assert (bad.file, bad.line, bad.reason) == ("a.jsonl", 2, reason)
    assert isinstance(first, Capture)
    assert isinstance(last, Capture)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.tgz", "a.tar"])
def test_a_file_that_breaks_off_keeps_what_came_before(tmp_path: Path, name: str) -> None:
    """A download that was cut costs its end, and says so."""
    path = tmp_path / name
    noise = [bytes((i * i + j * 7 * i) % 251 for i in range(4_000)).hex() for j in range(60)]
    if name == "a.jsonl.gz":
        path.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in noise).encode()))
    else:
        write_tar(path, {f"{number}.html": text.encode() for number, text in enumerate(noise)})
    whole = captures(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    *kept, last = captures(path)
    assert 0 < len(kept) < len(whole)
    assert kept == whole[: len(kept)]
    assert isinstance(last, Reject)
    assert (last.line, last.reason) == (len(kept) + 1, "cut_off")


def test_members_that_lie_or_are_too_large(tmp_path: Path) -> None:
    """In an archive a bomb and a broken member cost themselves."""
    bomb = gzip.compress(bytes(50_000_000))
    contents = {"1.html.gz": b"no gzip", "2.html.gz": bomb, "3.html": page(), "4.html": bytes(2_000_000)}
    write_tar(tmp_path / "a.tar", contents)
    found = captures(tmp_path / "a.tar")
    assert [each.reason if isinstance(each, Reject) else "" for each in found] == [
        "broken_encoding", "record_too_large", "", "record_too_large"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, b"") for name in ("a.warc.gz", "a.jsonl", "a.parquet", "a.tar")),
        *((name, b"rubbish of no kind") for name in ("a.warc.gz", "a.html.gz", "a.parquet", "a.tar")),
    ],
)
def test_a_file_that_holds_nothing_says_what_to_do(tmp_path: Path, name: str, content: bytes) -> None:
    """An empty or foreign file must not pass for a crawl without pages."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError):
        captures(tmp_path / name)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """Not a traceback, but the path and the remedy."""
    with pytest.raises(InputError, match="not there"):
        captures(tmp_path / "a.warc.gz")
