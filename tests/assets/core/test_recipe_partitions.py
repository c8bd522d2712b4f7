"""Files that come and go as dynamic partitions: each rebuild touches what it concerns, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.recipe import OWN_PARTITION, RECIPES, Input, recipe
from assets.core.resources import LakeResource

FILES = dg.DynamicPartitionsDefinition(name="toy_files")
CALLED: list[str] = []


class FolderConfig(dg.Config):
    folder: str


def content(config: FolderConfig, partition: str) -> Mapping[str, Any]:
    return {"content": (Path(config.folder) / partition).read_text()}


@recipe("toy/words", partitions=FILES, external=content, ledger=False)
def words(out: DatasetWriter, config: FolderConfig, partition: str) -> None:
    """One file's words."""
    CALLED.append(f"words {partition}")
    found = (Path(config.folder) / partition).read_text().split()
    out.write(pl.DataFrame({"id": found}, schema={"id": pl.String}))


@recipe("toy/first", inputs={"files": Input("toy/words", all_partitions=True, among=FILES)}, ledger=False)
def first(out: DatasetWriter, files: dict[str, Dataset]) -> None:
    """Of each file the words that no earlier file has, one part a file."""
    CALLED.append("first " + ",".join(sorted(files)))
    seen: set[str] = set()
    for name in sorted(files):
        new = [word for word in files[name].read()["id"] if word not in seen]
        seen |= set(new)
        out.write(pl.DataFrame({"id": new}, schema={"id": pl.String}), part=name)


@recipe("toy/counts", inputs={"own": Input("toy/first", part=OWN_PARTITION)}, partitions=FILES, ledger=False)
def counts(out: DatasetWriter, own: Dataset, partition: str) -> None:
    """How many words of a file are new."""
    CALLED.append(f"counts {partition}")
    out.write(pl.DataFrame({"id": [partition], "words": [own.rows]}))


class World:
    """A folder of files, a lake, and an instance that knows which files there are."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root, self.instance = root, instance
        self.lake = Lake(str(root / "lake"), root / "work")

    def add(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)
        self.instance.add_dynamic_partitions("toy_files", [name])

    def run(self, asset: dg.AssetsDefinition, partition: str | None = None) -> None:
        config = {"ops": {"toy__words": {"config": {"folder": str(self.root)}}}} if asset is words else {}
        dg.materialize(
            [asset],
            instance=self.instance,
            partition_key=partition,
            resources={"lake": LakeResource(root=str(self.root / "lake"), work=str(self.root / "work"))},
            run_config=config,
        )

    def everything(self) -> list[str]:
        """What is built when all is materialized."""
        CALLED.clear()
        names = self.instance.get_dynamic_partitions("toy_files")
        for name in names:
            self.run(words, name)
        self.run(first)
        for name in names:
            self.run(counts, name)
        return list(CALLED)

    def count(self, name: str) -> int:
        return int(self.lake.get("toy/counts", name).read()["words"].item())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        made = World(tmp_path, instance)
        made.add("b", "x y")
        made.add("c", "y z")
        made.everything()
        yield made


def test_equal_files_do_no_work(world: World) -> None:
    """`external` sees one partition's file alone."""
    assert world.everything() == []


def test_a_new_file_rebuilds_those_whose_part_changed(world: World) -> None:
    """A file before the others takes a word of one of them; the other is not touched."""
    world.add("a", "x")
    assert world.everything() == ["words a", "first a,b,c", "counts b", "counts a"]
    assert [world.count(name) for name in "abc"] == [1, 1, 1]


def test_a_changed_file_rebuilds_its_own_partition(world: World) -> None:
    """Nothing of the others is read anew; equal parts end the rebuild."""
    (world.root / "c").write_text("y z u")
    assert world.everything() == ["words c", "first b,c", "counts c"]


def test_a_part_may_be_empty(world: World) -> None:
    """A file without rows is a file."""
    world.add("d", "")
    world.everything()
    assert world.count("d") == 0


def test_a_file_that_left_is_no_longer_read(world: World) -> None:
    """Its dataset is still in the lake, and counts for nothing."""
    world.instance.delete_dynamic_partition("toy_files", "b")
    assert world.everything() == ["first c", "counts c"]
    assert world.count("c") == 2


def test_what_is_current_is_told_without_a_run(world: World) -> None:
    """Of files, of code and of inputs that are not there."""

    def current(asset: dg.AssetsDefinition, partition: str) -> bool:
        config = FolderConfig(folder=str(world.root)) if asset is words else None
        return RECIPES[asset].is_current(world.lake, config, partition, world.instance)

    assert all(current(words, name) and current(counts, name) for name in "bc")
    world.add("a", "x")
    assert not current(words, "a")
    assert not current(counts, "a")
    world.run(words, "a")
    world.run(first)
    assert current(words, "a")
    assert [current(counts, name) for name in "abc"] == [False, False, True]
