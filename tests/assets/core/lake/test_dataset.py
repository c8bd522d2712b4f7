"""Reading: rows in order, shard by shard, and clear words about what is damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from assets.core.errors import AthanorError
from assets.core.lake import Dataset, DatasetWriter, Lake
from tests.assets.core.lake.child import build, frame, open_lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return open_lake(tmp_path)


def three_shards(out: DatasetWriter) -> None:
    for start in (0, 100, 200):
        out.write(frame(100, start=start))
        out.flush()


def test_rows_come_in_the_order_in_which_they_were_written(lake: Lake) -> None:
    """read, scan and batches agree; a plan of draws depends on the order."""
    dataset = build(lake, three_shards)
    expected = list(range(300))
    assert dataset.rows == 300
    assert dataset.read("number")["number"].to_list() == expected
    assert dataset.scan().select("number").collect()["number"].to_list() == expected
    batches = list(dataset.batches("number"))
    assert [batch.height for batch in batches] == [100, 100, 100]
    assert pl.concat(batches)["number"].to_list() == expected


def test_memory_is_flat_in_the_number_of_shards(tmp_path: Path) -> None:
    """Ten times the shards, no more memory: writing and reading stream. (180 MB more if they did not.)"""
    peaks = []
    for shards in (10, 100):
        done = subprocess.run(
            [sys.executable, "-m", "tests.assets.core.lake.child", "memory", tmp_path / str(shards), str(shards)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peak, written = map(int, done.stdout.split())
        assert written >= shards
        peaks.append(peak)
    assert peaks[1] < 1.35 * peaks[0]


def test_empty_dataset_keeps_its_columns(lake: Lake) -> None:
    """No rows is a result: a consumer that joins it must find the columns and their types."""
    dataset = build(lake, lambda out: out.write(frame(3).clear()))
    assert dataset.rows == 0
    assert dataset.read().schema == frame(3).schema
    assert dataset.scan().collect().schema == frame(3).schema
    assert sum(batch.height for batch in dataset.batches()) == 0


def test_dataset_without_columns_says_what_to_do(lake: Lake) -> None:
    """A recipe that wrote no frame at all: its consumer is told so, not that a list of paths is empty."""
    dataset = build(lake, lambda out: None)
    for read in (dataset.read, dataset.scan):
        with pytest.raises(AthanorError, match=r"toy/rows has neither rows nor columns\n  → .*empty"):
            read()


def test_unknown_part_names_those_there_are(lake: Lake) -> None:
    """The error helps with a misspelt part."""
    dataset = build(lake, lambda out: out.write(frame(1), part="clip"))
    with pytest.raises(AthanorError, match=r"no part 'klip', only \['clip'\]"):
        dataset.slice("klip")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(b"\0" * size)


@pytest.mark.parametrize("damage", [truncate, Path.unlink, overwrite])
@pytest.mark.parametrize("read", [Dataset.read, lambda dataset: list(dataset.batches())], ids=["read", "batches"])
def test_damaged_shard_is_named_with_the_remedy(lake: Lake, damage: object, read: object) -> None:
    """A torn copy of a lake fails in words: which dataset, which folder, what to do; and doing it helps."""
    dataset = build(lake, three_shards)
    folder = Path(dataset.store.url(dataset.location))
    damage(folder / "part-00001.parquet")  # type: ignore[operator]
    with pytest.raises(AthanorError) as caught:
        read(dataset)  # type: ignore[operator]
    assert "toy/rows" in caught.value.message
    assert str(folder) in caught.value.message
    assert caught.value.remedy == f"delete {folder} and materialize toy/rows again"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert lake.current("toy/rows") is None
    assert build(lake, three_shards).read().height == 300


def test_damaged_file_of_a_checkpoint_is_named(lake: Lake) -> None:
    """A truncated weights file is not handed to `transformers`, whose words would not help."""
    dataset = build(lake, lambda out: (out.folder / "model.safetensors").write_bytes(b"x" * 1000) and None)
    assert (dataset.folder / "model.safetensors").stat().st_size == 1000
    truncate(dataset.folder / "model.safetensors")
    assert not dataset.is_whole
    with pytest.raises(AthanorError, match=r"model.safetensors of toy/rows .* 900 bytes, and 1000 were written"):
        assert dataset.folder
