"""Bad input: a bad row is rejected with its place and reading goes on; a bad file says what to do."""

from __future__ import annotations

import gzip
import json
import os
import random
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.core.errors import InputError
from assets.corpora.files import FileSource, inventory, read_files
from assets.corpora.schema import Document, Reject, documents_frame, rejects_frame

GOOD = b'{"text": "good"}'


def read(path: Path, **options: object) -> list[Document | Reject]:
    return list(read_files(FileSource(str(path), **options)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"text": "cut', "broken_json"),
        (b"[" * 100_000, "broken_json"),
        (b'{"text": ' + b"9" * 5000 + b"}", "broken_json"),
        (b'{"text": "\xff\xfe"}', "invalid_utf8"),
        (b'{"text": "\\ud800"}', "invalid_utf8"),
        (b'["text"]', "not_an_object"),
        (b'{"body": "x"}', "missing_field"),
        (b'{"text": 3}', "non_text_field"),
        (b'{"text": null}', "non_text_field"),
        (b'{"text": ["x"]}', "non_text_field"),
        (b'{"text": ""}', "empty_text"),
        (b'{"text": " \\n\\t "}', "empty_text"),
        (b'{"text": "' + b"x" * 200_000 + b'"}', "row_too_large"),
    ],
)
def test_bad_json_row_is_rejected_with_its_place(tmp_path: Path, bad: bytes, reason: str) -> None:
    """No bad row may stop the reading, vanish, or take a good neighbour along."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([GOOD, bad, GOOD]))
    first, rejected, last = read(path, max_row_bytes=150_000)
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(rejected, Reject)
    assert (rejected.file, rejected.line, rejected.reason) == (str(path), 2, reason)
    assert rejected.detail
    assert documents_frame([first, last]).height + rejects_frame([rejected]).height == 3


def test_enormous_line_is_never_loaded(tmp_path: Path) -> None:
    """A 50 MB line in a file of gigabytes must not take 50 MB, let alone several copies of it."""
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(GOOD + b"\n" + b'{"text": "')
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + GOOD + b"\n")
    tracemalloc.start()
    rows = read(path, max_row_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [r.reason if isinstance(r, Reject) else r.name for r in rows] == ["1", "row_too_large", "3"]
    assert peak < 8_000_000


def test_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    """The bound is on the line, newline included; one byte more is too large."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD + b" \n" + GOOD)
    rows = read(path, max_row_bytes=len(GOOD) + 1)
    assert [isinstance(row, Document) for row in rows] == [True, False, True]


def test_repeated_id_is_rejected_across_files(tmp_path: Path) -> None:
    """Two rows of one id would be joined as one later; the first in reading order stands."""
    (tmp_path / "a.jsonl").write_text('{"text": "one", "id": 1}\n{"text": "two", "id": "1"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "three", "id": 1}\n{"text": "four", "id": 2}\n')
    rows = read(tmp_path, id_field="id")
    assert [row.reason if isinstance(row, Reject) else row.text for row in rows] == [
        *["one", "duplicate_id", "duplicate_id", "four"],
    ]


def test_id_of_a_rejected_row_is_free(tmp_path: Path) -> None:
    """Only a row that was taken holds its id."""
    (tmp_path / "a.jsonl").write_text('{"text": "", "id": 1}\n{"text": "kept", "id": 1}\n')
    rejected, kept = read(tmp_path, id_field="id")
    assert isinstance(rejected, Reject)
    assert rejected.reason == "empty_text"
    assert isinstance(kept, Document)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"text": "x"}', "missing_field"),
        ('{"text": "x", "id": null}', "bad_id"),
        ('{"text": "x", "id": true}', "bad_id"),
    ],
)
def test_row_without_a_usable_id_is_rejected(tmp_path: Path, row: str, reason: str) -> None:
    """Who asks for ids must not get rows with invented ones."""
    (tmp_path / "a.jsonl").write_text(row)
    [rejected] = read(tmp_path, id_field="id")
    assert isinstance(rejected, Reject)
    assert rejected.reason == reason


def test_bad_parquet_rows(tmp_path: Path) -> None:
    """Nulls, empty texts, too long ones and bytes that are not UTF-8 occur in Parquet as well."""
    texts = pa.array([b"good", None, b"", b"\xff", b"x" * 100, b"last"], pa.binary())
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.Array.from_buffers(pa.string(), 6, texts.buffers())}), path)
    rows = read(path, max_row_bytes=50)
    assert [(r.line, r.reason) if isinstance(r, Reject) else r.text for r in rows] == [
        "good",
        *[(2, "non_text_field"), (3, "empty_text"), (4, "invalid_utf8"), (5, "row_too_large")],
        "last",
    ]


def test_bad_text_files_in_a_folder_are_rows(tmp_path: Path) -> None:
    """One text file is one row: an empty `__init__.py` must not end the reading of a source tree."""
    for name, content in {
        "a.py": b"",
        "b.txt": b"\xff",
        "c.txt": b"x" * 100,
        "d.png": b"?",
        "e.txt": b"ok",
    }.items():
        (tmp_path / name).write_bytes(content)
    rows = read(tmp_path, max_row_bytes=50)
    assert [(Path(r.file).name, r.line, r.reason) if isinstance(r, Reject) else r.text for r in rows] == [
        ("a.py", None, "empty_text"),
        ("b.txt", None, "invalid_utf8"),
        ("c.txt", None, "row_too_large"),
        ("d.png", None, "unsupported_suffix"),
        "ok",
    ]


def test_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    """Old archives hold such names; the row must be storable all the same."""
    try:
        Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.txt")).write_text("ok")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    [row] = read(tmp_path)
    assert isinstance(row, Document)
    assert documents_frame([row])["module"].to_list() == ["caf\\udce9.txt"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.parquet", "a.jsonl.gz"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    """Zero bytes are a failed export, not a corpus without rows."""
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=name) as error:
        read(tmp_path / name)
    assert error.value.remedy


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_json_lines_without_a_row(tmp_path: Path, name: str) -> None:
    """A file of blank lines is as empty as one of zero bytes, also among others in a folder."""
    (tmp_path / name).write_bytes(gzip.compress(b"\n\n") if name.endswith("gz") else b"\n\n")
    (tmp_path / "b.txt").write_text("good")
    with pytest.raises(InputError, match="is empty"):
        read(tmp_path)


def test_parquet_without_a_row(tmp_path: Path) -> None:
    """Writers of many shards leave empty ones, which are whole; only a source without any row is at fault."""
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds no row"):
        read(tmp_path)
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "b.parquet")
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated_parquet(tmp_path: Path, keep: float) -> None:
    """A broken copy must not be read as a shorter dataset."""
    pq.write_table(pa.table({"text": [f"text {i}" for i in range(5000)]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(InputError, match=r"(?s)a\.parquet.*cut off"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize("codec", ["gz", "zst"])
@pytest.mark.parametrize("cut", [4, 2000])
def test_truncated_compression(tmp_path: Path, codec: str, cut: int) -> None:
    """What was cut off a compressed file is lost rows, even when only the checksum is missing."""
    text = "".join(random.Random(0).choices("abcdefgh", k=20_000))
    lines = b"".join(json.dumps({"text": text[i : i + 50]}).encode() + b"\n" for i in range(0, len(text), 50))
    content = gzip.compress(lines) if codec == "gz" else pa.compress(lines, codec="zstd", asbytes=True)
    path = tmp_path / f"a.jsonl.{codec}"
    path.write_bytes(content[:-cut])
    with pytest.raises(InputError, match=rf"(?s)a\.jsonl\.{codec}.*cut off") as error:
        read(path)
    assert "copy or download it again" in error.value.remedy


def test_file_that_is_not_what_its_suffix_says(tmp_path: Path) -> None:
    """Web pages saved under the name of a download are the common case."""
    (tmp_path / "a.jsonl.gz").write_bytes(b"<html>not found</html>")
    (tmp_path / "a.parquet").write_bytes(b"<html>not found</html>")
    for name in ("a.jsonl.gz", "a.parquet"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("content", ['[{"text": "x"}]', '[\n{"text": "x"}\n]', '{\n"text": "x"\n}'])
def test_json_over_many_lines(tmp_path: Path, content: str) -> None:
    """A JSON array would give nothing but rejects; one error with the remedy is kinder."""
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="jq"):
        read(tmp_path / "a.json")


def test_parquet_without_the_column(tmp_path: Path) -> None:
    """What a whole file lacks is a wrong setting, and the error names what there is."""
    pq.write_table(pa.table({"body": ["x"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"(?s)no column 'text'.*body, n"):
        read(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column 'key'"):
        read(tmp_path / "a.parquet", text_field="body", id_field="key")
    with pytest.raises(InputError, match="'n' holds int64, not text"):
        read(tmp_path / "a.parquet", text_field="n")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "not there"),
        ("absent.jsonl", "not there"),
        ("no*.jsonl", "no file that can be read"),
        ("picture.png", "suffix cannot be read"),
        ("pictures", "no file that can be read"),
        ("nowhere://x/a.jsonl", "cannot be read"),
    ],
)
def test_path_that_leads_nowhere(tmp_path: Path, path: str, message: str) -> None:
    """Reading and fingerprinting fail alike, before any row, naming the path and the remedy."""
    (tmp_path / "pictures").mkdir()
    for name in ("picture.png", "pictures/a.png"):
        (tmp_path / name).write_bytes(b"?")
    where = path if "://" in path else str(tmp_path / path)
    for attempt in (lambda: next(read_files(FileSource(where))), lambda: inventory(FileSource(where))):
        with pytest.raises(InputError, match=message) as error:
            attempt()
        assert where in error.value.message
        assert error.value.remedy


def test_damaged_saved_dataset(tmp_path: Path) -> None:
    """A folder of `save_to_disk` with a broken shard names itself."""
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": ["x"] * 1000}).save_to_disk(tmp_path / "saved")
    [shard] = (tmp_path / "saved").glob("*.arrow")
    shard.write_bytes(shard.read_bytes()[:500])
    with pytest.raises(InputError, match="saved"):
        read(tmp_path / "saved")


def test_reading_is_lazy(tmp_path: Path) -> None:
    """The first row must not wait for the last: what comes before a fault has been delivered."""
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    (tmp_path / "b.parquet").write_bytes(b"broken")
    rows = read_files(FileSource(str(tmp_path)))
    assert isinstance(next(rows), Document)
    with pytest.raises(InputError, match=r"b\.parquet"):
        next(rows)
