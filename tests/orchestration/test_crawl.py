"""Crawl files come and go as partitions; only what is concerned is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.core.fingerprint import fingerprint
from assets.core.home import Home
from assets.core.lake import DatasetWriter, Lake
from assets.corpora.crawl.config import CrawlConfig
from orchestration.automation import crawl_folder, crawl_leftovers
from orchestration.crawl import AFTER, BEFORE, INDEX, NAME, START, config_of, part_of, stale, sync
from orchestration.definitions import defs


def publish(lake: Lake, key: str, partition: str = "", ingredients: dict[str, Any] | None = None) -> None:
    def fill(out: DatasetWriter) -> None:
        out.write(pl.DataFrame({"id": [key + partition]}))

    found = ingredients or {}
    lake.build(
        key=key, partition=partition, kind="dataset", fingerprint=fingerprint(found), ingredients=found, fill=fill,
        keeps_ledger=False,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and a folder of two crawl files."""
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    folder = tmp_path / "crawl"
    folder.mkdir()
    monkeypatch.setenv("ATHANOR_CRAWL", str(folder))
    for name in ("a.jsonl", "b.jsonl"):
        (folder / name).write_text('{"text": "words"}\n')
    return tmp_path


@pytest.fixture
def lake(home: Path) -> Lake:
    """A lake in which everything that a crawl starts from is there."""
    place = Home.from_environment()
    made = Lake(place.lake, place.work)
    for key in START:
        publish(made, key)
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def look(instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    """What the sensor asks for; partitions are added and taken away as Dagster would."""
    found = crawl_folder(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    for request in (found.dynamic_partitions_requests or []) if isinstance(found, dg.SensorResult) else []:
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(NAME, request.partition_keys)
        else:
            for name in request.partition_keys:
                instance.delete_dynamic_partition(NAME, name)
    return found


def asked(found: dg.SensorResult | dg.SkipReason) -> list[tuple[str | None, str | None]]:
    assert isinstance(found, dg.SensorResult)
    return [(request.job_name, request.partition_key) for request in found.run_requests or []]


@pytest.mark.usefixtures("lake")
def test_new_changed_and_vanished_files(home: Path, instance: dg.DagsterInstance) -> None:
    """Each new or changed file is one run of its partition; one that vanished is no partition any more."""
    first = look(instance, None)
    assert asked(first) == [("crawl_pages", "a.jsonl"), ("crawl_pages", "b.jsonl")]
    assert isinstance(look(instance, first.cursor), dg.SkipReason)
    (home / "crawl" / "b.jsonl").write_text('{"text": "other words"}\n')
    (home / "crawl" / "c.jsonl").write_text('{"text": "words"}\n')
    (home / "crawl" / "a.jsonl").unlink()
    second = look(instance, first.cursor)
    assert asked(second) == [("crawl_pages", "b.jsonl"), ("crawl_pages", "c.jsonl")]
    assert sorted(instance.get_dynamic_partitions(NAME)) == ["b.jsonl", "c.jsonl"]
    keys = {request.run_key for request in [*first.run_requests, *second.run_requests]}
    assert len(keys) == 4, "a changed file asks for a run of its own"


@pytest.mark.usefixtures("home")
def test_what_a_crawl_starts_from_comes_first(instance: dg.DagsterInstance) -> None:
    """Without classifiers no file is asked for, and the files are not forgotten."""
    found = look(instance, None)
    assert asked(found) == [("crawl_start", None)]
    assert found.cursor is None


@pytest.mark.usefixtures("lake")
def test_a_missing_folder_is_said(home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of the skip names the folder, or the variable that is not set."""
    monkeypatch.setenv("ATHANOR_CRAWL", str(home / "gone"))
    skipped = look(instance, None)
    assert isinstance(skipped, dg.SkipReason)
    assert "gone" in (skipped.skip_message or "")
    monkeypatch.delenv("ATHANOR_CRAWL")
    unset = look(instance, None)
    assert isinstance(unset, dg.SkipReason)
    assert "ATHANOR_CRAWL" in (unset.skip_message or "")


def test_the_index_asks_for_files_of_which_something_else_is_left(lake: Lake, instance: dg.DagsterInstance) -> None:
    """A file whose text follows from the present index is not asked for."""
    instance.add_dynamic_partitions(NAME, ["a.jsonl", "b.jsonl"])

    def fill(out: DatasetWriter) -> None:
        for name in ("a.jsonl", "b.jsonl"):
            out.write(pl.DataFrame({"id": [name], "dup_of": [""], "similarity": [0.0]}), part=name)

    lake.build(
        key=INDEX, partition="", kind="dataset", fingerprint="f" * 64, ingredients={}, fill=fill, keeps_ledger=False
    )  # fmt: skip
    publish(lake, "internlm2/text/filtered", "a.jsonl")
    publish(lake, "internlm2/text/filtered", "b.jsonl")
    for key, recipe in AFTER.items():
        config = config_of(recipe, {})
        inputs = recipe.load_inputs(lake, "a.jsonl", instance)
        publish(lake, key, "a.jsonl", recipe.ingredients(config, inputs, "a.jsonl", {}, {}))
    assert stale(AFTER, lake, instance, {}) == ["b.jsonl"]
    instance.report_runless_asset_event(dg.AssetMaterialization(INDEX.split("/")))
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        found = crawl_leftovers.evaluate_tick(dg.build_sensor_context(instance=instance, definitions=defs()))
    assert [request.partition_key for request in found.run_requests] == ["b.jsonl"]


def test_sync_adds_and_removes(instance: dg.DagsterInstance) -> None:
    """The partitions are the files that there are."""
    assert sync(instance, {"a": "/a", "b": "/b"}).added == ["a", "b"]
    again = sync(instance, {"b": "/b", "c": "/c"})
    assert (again.added, again.removed) == (["c"], ["a"])
    assert sorted(instance.get_dynamic_partitions(NAME)) == ["b", "c"]


def test_a_configuration_of_all_jobs_is_shared_out() -> None:
    """Each job is given its own sections; a default stands where a section says nothing."""
    given = {"ops": {"corpora__pages": {"config": {"seconds": 2.0}}, "internlm2__text__clean": {"config": {}}}}
    assert set(part_of(given, "crawl_pages")["ops"]) == {"corpora__pages"}
    assert part_of(given, "crawl_duplicates") == {"ops": {}}
    config = config_of(BEFORE["corpora/pages"], given)
    assert isinstance(config, CrawlConfig)
    assert (config.seconds, config.tables) == (2.0, True)
