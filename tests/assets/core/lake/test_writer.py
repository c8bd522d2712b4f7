"""What a recipe may give the writer, and what it may not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.core.errors import AthanorError
from assets.core.lake import DatasetWriter, Lake, writer
from tests.assets.core.lake.child import build, frame, open_lake

PICTURE = b"\x89PNG"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return open_lake(tmp_path)


def digest_of(lake: Lake, *frames: pl.DataFrame, version: str) -> str:
    def fill(out: DatasetWriter) -> None:
        for each in frames:
            out.write(each)

    return build(lake, fill, version=version).digest


def test_batches_do_not_change_the_digest(lake: Lake) -> None:
    """Early cut-off: rows that come in other batches are the same content. (Parquet's row groups follow chunks.)"""
    rows = frame(50_000)
    assert rows.height * 16 < writer.SHARD_BYTES
    digests = {digest_of(lake, *rows.iter_slices(size), version=str(size)) for size in (50_000, 20_000, 777, 50)} | {
        digest_of(lake, pl.concat([rows.head(10), rows.tail(-10)], rechunk=False), version="chunks")
    }
    assert len(digests) == 1


def test_shard_boundaries_are_the_only_thing_beside_content_that_counts(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Says what the digest depends on: other boundaries, another digest; equal boundaries, an equal one."""
    rows = frame(1_000)
    whole = digest_of(lake, rows, version="1")
    monkeypatch.setattr(writer, "SHARD_ROWS", 300)
    sliced = digest_of(lake, *rows.iter_slices(300), version="2")
    assert whole != sliced
    assert digest_of(lake, *rows.iter_slices(100), version="3") == sliced


ROWS = pl.DataFrame({"id": ["a", "b", "c"], "number": [1, 2, 3], "text": ["x", None, ""]})
CHANGED = {
    "a cell": ROWS.with_columns(number=pl.Series([1, 2, 4])),
    "null for an empty text": ROWS.with_columns(text=pl.Series(["x", "", ""])),
    "a column's name": ROWS.rename({"number": "numbers"}),
    "a dtype": ROWS.with_columns(pl.col("number").cast(pl.Int32)),
    "the order of rows": ROWS.reverse(),
    "the order of columns": ROWS.select("id", "text", "number"),
    "a row less": ROWS.head(2),
    "a row twice": pl.concat([ROWS, ROWS.tail(1)]),
}


@pytest.mark.parametrize("change", CHANGED)
def test_any_change_of_content_changes_the_digest(lake: Lake, change: str) -> None:
    """The data version tells any two contents apart; else a downstream asset would be reused wrongly."""
    assert digest_of(lake, CHANGED[change], version="2") != digest_of(lake, ROWS, version="1")


def test_digest_of_files_counts_their_names(lake: Lake) -> None:
    """A checkpoint whose files are swapped is another checkpoint."""

    def fill(**content: str) -> str:
        def write(out: DatasetWriter) -> None:
            for name, text in content.items():
                (out.folder / name).write_text(text)

        return build(lake, write, version=json.dumps(content)).digest

    assert len({fill(a="1", b="2"), fill(a="2", b="1"), fill(a="1", c="2"), fill(a="1")}) == 4


def test_parts_have_digests_of_their_own(lake: Lake) -> None:
    """A change in one part leaves the others' digests, so that only its consumer is rebuilt."""

    def published(second: pl.DataFrame, version: str) -> tuple[str, str]:
        def fill(out: DatasetWriter) -> None:
            out.write(ROWS, part="first")
            out.write(second, part="second")

        dataset = build(lake, fill, version=version)
        assert dataset.manifest.parts == ["first", "second"]
        assert dataset.slice("first").read().equals(ROWS)
        assert dataset.slice("second").read().equals(second)
        return dataset.slice("first").digest, dataset.slice("second").digest

    first, second = published(ROWS, "1")
    assert first != second
    assert published(ROWS.reverse(), "2")[0] == first
    assert published(ROWS.reverse(), "3")[1] != second


def test_a_frame_larger_than_a_shard_is_cut(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers take a shard at a time: one frame of everything must not become one shard of everything."""
    monkeypatch.setattr(writer, "SHARD_BYTES", 50_000)
    rows = frame(20_000)
    dataset = build(lake, lambda out: out.write(rows))
    sizes = [batch.estimated_size() for batch in dataset.batches()]
    assert len(sizes) > 5
    assert max(sizes) <= 50_000
    assert dataset.read().equals(rows)


def test_rows_need_an_id_and_one_shape(lake: Lake) -> None:
    """Joins are by id, and a shard with other columns would make the dataset unreadable."""
    with pytest.raises(AthanorError, match="`id`"):
        build(lake, lambda out: out.write(pl.DataFrame({"text": ["x"]})))
    for other in (ROWS.drop("text"), ROWS.with_columns(pl.col("number").cast(pl.Float64)), ROWS.select("text", "id")):
        with pytest.raises(AthanorError, match="same columns"):
            build(lake, lambda out, other=other: (out.write(ROWS), out.write(other)))  # type: ignore[misc]
    assert lake.current("toy/rows") is None


def test_dead_letters_lie_beside_the_rows(lake: Lake) -> None:
    """A row that failed is counted and found again with its place and reason."""

    def fill(out: DatasetWriter) -> None:
        out.ledger.rows_in = 5
        out.ledger.drop("short")
        out.dead_letter(file="a.jsonl", line=7, reason="broken_json", detail="no colon")
        out.write(ROWS)

    dataset = build(lake, fill, ledger=True)
    assert dataset.manifest.ledger == {"rows_in": 5, "rows_out": 3, "failed": 1, "dropped": {"short": 1}}
    assert dataset.dead_letters().to_dicts() == [
        {"file": "a.jsonl", "line": "7", "reason": "broken_json", "detail": "no colon"}
    ]
    assert build(lake, lambda out: out.write(ROWS), version="2").dead_letters().height == 0


def test_a_lost_row_is_an_error(lake: Lake) -> None:
    """Nothing disappears silently: rows in = rows out + dropped + failed, or the dataset is not published."""

    def fill(out: DatasetWriter) -> None:
        out.ledger.rows_in = 4
        out.write(ROWS)

    with pytest.raises(AthanorError, match="does not add up: 4 in, 3 out"):
        build(lake, fill, ledger=True)
    assert lake.current("toy/rows") is None


def test_metadata_that_is_not_json_fails_at_once(lake: Lake) -> None:
    """The error comes where the fault is, not when the manifest is written after hours of training."""
    for value in (np.float32(1), {1, 2}, ROWS):
        with pytest.raises(TypeError, match=r"(?s)loss = .* is not JSON"):
            build(lake, lambda out, value=value: out.describe(loss=value))  # type: ignore[misc]
        with pytest.raises(TypeError, match="check sound: loss"):
            build(lake, lambda out, value=value: out.check("sound", True, loss=value))  # type: ignore[misc]


def test_plots_metadata_and_preview_do_not_change_the_digest(lake: Lake) -> None:
    """What only a person looks at leaves downstream assets as they are, and is there to be looked at."""

    def fill(out: DatasetWriter) -> None:
        out.write(ROWS.clear())
        out.write(ROWS.with_columns(text=pl.lit("long | text\n" * 100)))
        out.plot("sizes", PICTURE)
        out.describe(mean=1.5)

    def bare(out: DatasetWriter) -> None:
        out.write(ROWS.with_columns(text=pl.lit("long | text\n" * 100)))

    dataset = build(lake, fill)
    assert dataset.digest == build(lake, bare, version="2").digest
    assert dataset.file("sizes.png").read_bytes() == PICTURE
    assert dataset.manifest.metadata == {"mean": 1.5}
    head, _, first, *rest = dataset.manifest.preview.splitlines()
    assert head == "| id | number | text |"
    assert first.startswith("| a | 1 | long \\| text long")
    assert len(rest) == 2
    assert max(map(len, rest)) < 100
