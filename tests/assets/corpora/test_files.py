"""The user's own files: every format, every origin."""

from __future__ import annotations

import bz2
import gzip
import json
import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.core.errors import InputError
from assets.corpora.files import FileSource, inventory, read_files
from assets.corpora.schema import Document

TEXTS = ["First text.", "Zweiter Text, äöü.", "第三"]
TINY_SHAKESPEARE = Path(__file__).parents[4] / "shared" / "data" / "corpus" / "tinyshakespeare.txt.gz"


def documents(path: Path | str, text_field: str = "text", id_field: str | None = None) -> list[Document]:
    rows = list(read_files(FileSource(str(path), text_field=text_field, id_field=id_field)))
    assert all(isinstance(row, Document) for row in rows), rows
    return [row for row in rows if isinstance(row, Document)]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a line on the terminal for each request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def json_lines() -> bytes:
    return b"".join(json.dumps({"text": t, "n": i}).encode() + b"\n" for i, t in enumerate(TEXTS))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.jsonl.zst", "a.jsonl.bz2", "A.JSONL"])
def test_json_lines_in_every_wrapping(tmp_path: Path, name: str) -> None:
    """A suffix decides how a file is read; each one that is announced must give the same rows."""
    content = json_lines()
    if name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    elif name.endswith(".gz"):
        half = len(content) // 2
        content = gzip.compress(content[:half]) + gzip.compress(content[half:])
    elif name.endswith(".bz2"):
        content = bz2.compress(content)
    (tmp_path / name).write_bytes(content)
    rows = documents(tmp_path / name)
    assert [row.text for row in rows] == TEXTS
    assert [(r.package, r.module, r.name) for r in rows] == [(name.split(".")[0], name, n) for n in "123"]


def test_blank_lines_byte_order_mark_and_missing_newline_are_no_faults(tmp_path: Path) -> None:
    """Editors and Windows tools write these; the line numbers must still be those of the file."""
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}')
    assert [(row.name, row.text) for row in documents(tmp_path / "a.jsonl")] == [("1", "one"), ("3", "two")]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_parquet_columns_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    """Writers disagree on the type of a text column; polars, pandas and Spark files must all be read."""
    table = pa.table({"body": pa.array(TEXTS, kind), "key": [7, 8, 9]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    assert [r.text for r in documents(tmp_path / "a.parquet", "body")] == TEXTS
    assert [r.name for r in documents(tmp_path / "a.parquet", "body", "key")] == ["7", "8", "9"]


def test_parquet_dictionary_column(tmp_path: Path) -> None:
    """Categorical columns of pandas and polars come back as dictionaries."""
    pq.write_table(pa.table({"text": pa.array(TEXTS).dictionary_encode()}), tmp_path / "a.parquet")
    assert [row.text for row in documents(tmp_path / "a.parquet")] == TEXTS


def test_parquet_rows_are_numbered_over_batches_and_groups(tmp_path: Path) -> None:
    """A reject's row number must lead to the row in a file of many batches."""
    pq.write_table(pa.table({"text": [f"t{i}" for i in range(1, 1001)]}), tmp_path / "a.parquet", row_group_size=300)
    assert [(r.name, r.text) for r in documents(tmp_path / "a.parquet")] == [(str(i), f"t{i}") for i in range(1, 1001)]


def test_folder_reads_files_in_order_with_kind_and_package(tmp_path: Path) -> None:
    """Order, kind and package come from paths: they decide splits and groupings later."""
    for name, text in {"web/b.md": "b", "web/a.txt": "a", "tool.py": "x = 1", ".git/c.txt": "no"}.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    rows = documents(tmp_path / "in")
    assert [(r.kind, r.package, r.module, r.name, r.text) for r in rows] == [
        ("code", "tool", "tool.py", "tool.py", "x = 1"),
        ("prose", "web", "web/a.txt", "a.txt", "a"),
        ("prose", "web", "web/b.md", "b.md", "b"),
    ]


def test_glob_selects(tmp_path: Path) -> None:
    """A glob takes what it names and no more, and paths are told from its fixed part."""
    for name in ("x/1.txt", "x/2.md", "y/3.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [r.module for r in documents(f"{tmp_path}/**/*.txt")] == ["x/1.txt", "y/3.txt"]


def test_folder_named_like_a_glob_is_a_folder(tmp_path: Path) -> None:
    """Brackets are common in the names of downloads."""
    (tmp_path / "data[1]").mkdir()
    (tmp_path / "data[1]" / "a.txt").write_text("a")
    assert [row.text for row in documents(tmp_path / "data[1]")] == ["a"]


def test_file_systems_by_url() -> None:
    """Whatever fsspec reaches is read the same way as a local folder."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/corpus/a/x.jsonl.gz", gzip.compress(json_lines()))
    memory.pipe("/corpus/b.txt", b"plain")
    try:
        rows = documents("memory://corpus")
        assert [(r.package, r.module, r.text) for r in rows] == [
            *[("a", "a/x.jsonl.gz", text) for text in TEXTS],
            ("b", "b.txt", "plain"),
        ]
        assert documents("memory://corpus/b.txt")[0].text == "plain"
        assert len(documents("memory://corpus/*/*.gz")) == 3
        before = inventory(FileSource("memory://corpus"))
        assert [(f.path, f.size) for f in before][1:] == [("b.txt", 5)]
        memory.pipe("/corpus/b.txt", b"other")
        after = inventory(FileSource("memory://corpus"))
        assert before[0] == after[0]
        assert before[1] != after[1]
    finally:
        memory.rm("/corpus", recursive=True)


def test_web_address_with_a_signature(tmp_path: Path) -> None:
    """Buckets hand out signed addresses; their files come in blocks and know less than local ones."""
    (tmp_path / "a.jsonl").write_bytes(json_lines())
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "a.parquet")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        assert [r.text for r in documents(f"{base}/a.jsonl?signature=a.b")] == TEXTS
        assert [r.text for r in documents(f"{base}/a.parquet")] == TEXTS
        before = inventory(FileSource(f"{base}/a.jsonl"))
        (tmp_path / "a.jsonl").write_bytes(json_lines().replace(b"First", b"Third"))
        # This server reports whole seconds and no ETag, so that is all a fingerprint can see.
        later = (tmp_path / "a.jsonl").stat().st_mtime + 2
        os.utime(tmp_path / "a.jsonl", (later, later))
        assert inventory(FileSource(f"{base}/a.jsonl")) != before
        server.shutdown()


@pytest.mark.parametrize("in_splits", [False, True])
def test_folder_saved_by_datasets(tmp_path: Path, in_splits: bool) -> None:
    """`save_to_disk` is how most people keep a Hugging Face dataset; selections and splits must hold."""
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": ["no", *TEXTS], "key": list("abcd")}).select([1, 2, 3])
    (datasets.DatasetDict({"train": rows, "test": rows}) if in_splits else rows).save_to_disk(tmp_path / "saved")
    read = documents(tmp_path / "saved")
    assert [row.text for row in read] == TEXTS * (2 if in_splits else 1)
    assert {row.package for row in read} == ({"train", "test"} if in_splits else {"saved"})
    assert len({row.id for row in read}) == len(read)
    assert any(f.path.endswith(".arrow") for f in inventory(FileSource(str(tmp_path / "saved"))))


def test_hub_dataset_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub path is the library's own loader: a local folder of the hub's layout takes the same one."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "owner" / "set" / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "owner/set/data/train-00000-of-00001.parquet")
    monkeypatch.chdir(tmp_path)
    rows = documents("hub:owner/set")
    assert [(r.package, r.module, r.name, r.text) for r in rows] == [
        ("set", "owner/set", str(n), text) for n, text in enumerate(TEXTS, start=1)
    ]
    with pytest.raises(InputError, match="cannot be read"):
        list(read_files(FileSource("hub:owner/set", split="validation")))


def test_hub_inventory_is_the_pinned_commit() -> None:
    """A commit identifies the content without asking anybody."""
    [digest] = inventory(FileSource("hub:owner/set", revision="0123456789abcdef" * 2 + "01234567"))
    assert digest.digest == "0123456789abcdef" * 2 + "01234567"


def test_inventory_follows_content_not_time(tmp_path: Path) -> None:
    """A copy of the same files must hit the cache, a change of one byte must not."""
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.png").write_bytes(b"not read")
    before = inventory(FileSource(str(tmp_path)))
    (tmp_path / "a.txt").touch()
    assert inventory(FileSource(str(tmp_path))) == before
    assert len(before) == 1
    (tmp_path / "a.txt").write_text("two")
    assert inventory(FileSource(str(tmp_path))) != before


def test_ids_come_from_place_and_text_or_from_the_user(tmp_path: Path) -> None:
    """Without ids equal texts stay apart by place; with ids a row keeps its id when it moves."""
    (tmp_path / "a.jsonl").write_text('{"text": "same", "key": 1}\n{"text": "same", "key": 2}\n')
    (tmp_path / "moved.jsonl").write_text('{"text": "same", "key": 2}\n')
    first, second = documents(tmp_path / "a.jsonl")
    assert first.id != second.id
    [moved] = documents(tmp_path / "moved.jsonl", id_field="key")
    assert moved.id == documents(tmp_path / "a.jsonl", id_field="key")[1].id
    assert documents(tmp_path / "a.jsonl") == [first, second]


def test_real_text_file() -> None:
    """A file the project did not make: 40,000 lines in one gzip are one document, whole."""
    if not TINY_SHAKESPEARE.exists():
        pytest.skip(f"{TINY_SHAKESPEARE} is not there: public test data is no part of a clone")
    [play] = documents(TINY_SHAKESPEARE)
    assert play.text == gzip.decompress(TINY_SHAKESPEARE.read_bytes()).decode()
    assert (play.package, play.text.count("\n")) == ("tinyshakespeare", 40_000)
