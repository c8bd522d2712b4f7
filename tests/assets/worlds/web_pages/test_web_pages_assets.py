"""The generated crawl as assets: its truth, its files and the labelled pages apart from it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.core.lake import Dataset, Lake
from assets.core.resources import LakeResource
from assets.worlds.web_pages.assets import labelled_pages, web_crawl, web_pages
from assets.worlds.web_pages.config import PAPER, TINY, LabelledPagesConfig, WebCrawlConfig, WebPagesConfig
from assets.worlds.web_pages.crawl import DUMPS, STAGES, draw_pages
from assets.worlds.web_pages.defects import TASKS
from assets.worlds.web_pages.labelled import draw_labelled
from assets.worlds.web_pages.lexicon import BLOCKED_DOMAINS
from assets.worlds.web_pages.near import exact_jaccard, shingles
from assets.worlds.web_pages.schema import LABELLED_PAGES, WEB_CRAWL, WEB_PAGES

SMALL = {"n_clean": 60, "n_planted": 6, "n_exact_groups": 12, "n_pairs": 6}
PAGES = WebPagesConfig(**SMALL)


@pytest.fixture(scope="module")
def pages() -> pl.DataFrame:
    return draw_pages(PAGES, 0)


def build(folder: Path, asset: dg.AssetsDefinition, config: dg.Config, partition: str | None = None) -> Dataset:
    key = asset.key.to_user_string()
    made = dg.materialize(
        [asset],
        resources={"lake": LakeResource(root=str(folder / "lake"), work=str(folder / "work"))},
        run_config={"ops": {key.replace("/", "__"): {"config": config.model_dump(mode="json")}}},
        partition_key=partition,
    )
    assert made.success
    return Lake(str(folder / "lake"), folder / "work").get(key, partition or "")


def test_every_defect_is_there_as_often_as_planned(pages: pl.DataFrame) -> None:
    """Counts by defect and stage, distinct addresses, one topic and one dump to a page."""
    counts = dict(pages.group_by("defect").len().iter_rows())
    assert counts[""] == 60
    assert counts["near_duplicate"] == 2 * 6 * 5
    assert 24 <= counts["exact_duplicate"] <= 36
    assert {defect: counts[defect] for defect in STAGES} == dict.fromkeys(STAGES, 6)
    assert pages["id"].n_unique() == pages["url"].n_unique() == pages.height == sum(counts.values())
    planted = pages.filter(pl.col("defect").is_in(list(STAGES)))
    assert all(STAGES[defect] == stage for defect, stage in planted.select("defect", "stage").iter_rows())
    blocked = pages.filter(pl.col("domain").is_in(BLOCKED_DOMAINS))
    assert set(blocked["defect"]) == {"blocked_domain"}
    assert blocked.height == 6


def test_groups_hold_what_their_truth_says(pages: pl.DataFrame) -> None:
    """Exact similarities as stored; of a group the newest page stays, and all where they are less similar than .7."""
    planned = []
    for (original,), group in pages.drop_nulls("original").group_by("original"):
        [first] = group.filter(pl.col("id") == original)["text"]
        others = group.filter(pl.col("id") != original)["text"].to_list()
        similarity = group["jaccard"][0]
        assert {exact_jaccard(first, other) for other in others} == {similarity}
        assert group["dump"].n_unique() == group.height
        goes = [dump != max(group["dump"]) and round(similarity, 1) >= 0.7 for dump in group["dump"]]
        assert [stage == "dedup" for stage in group["stage"]] == goes
        planned.append(round(similarity, 1))
    assert {level: planned.count(level) for level in planned} == {1.0: 12, 0.5: 6, 0.6: 6, 0.7: 6, 0.8: 6, 0.9: 6}


def test_other_pages_are_far_apart(pages: pl.DataFrame) -> None:
    """No page outside a group looks like another: a page that deduplication removes there is removed wrongly.

    Boilerplate and adverts repeat their lines by design; the stages before and after deduplication remove them.
    """
    apart = pages.filter(pl.col("original").is_null() & ~pl.col("defect").is_in(["boilerplate", "advert_whole"]))
    grams = [shingles(text) for text in apart["text"]]
    closest = max(
        len(one & other) / len(one | other) for place, one in enumerate(grams) for other in grams[place + 1 :]
    )
    assert closest < 0.3


def test_timestamps_lie_in_their_dumps(pages: pl.DataFrame) -> None:
    """The newest dump has the newest date, and a crawl file is of one dump."""
    spans = dict(pages.group_by("dump").agg(pl.col("timestamp").min()).iter_rows())
    assert sorted(spans, key=spans.__getitem__) == sorted(DUMPS)
    assert all(dump in file for dump, file in pages.select("dump", "file").iter_rows())


def test_a_seed_gives_the_same_pages_and_another_others(pages: pl.DataFrame) -> None:
    """The world is a function of its configuration and seed."""
    assert pages.schema == WEB_PAGES
    assert draw_pages(PAGES, 0).equals(pages)
    assert not set(draw_pages(PAGES, 1)["text"]) & set(pages["text"])


def test_warc_files_hold_the_pages_in_their_places(tmp_path: Path) -> None:
    """Read back by a library: address, date and place of every page; two builds give the same bytes."""
    from fastwarc.warc import ArchiveIterator

    config = WebCrawlConfig(**SMALL, seed=3)
    crawl, again = (build(tmp_path / name, web_crawl, config) for name in "ab")
    rows = crawl.read()
    assert rows.schema == WEB_CRAWL
    assert crawl.digest == again.digest
    files = sorted(set(rows["file"]))
    assert len(files) == 6
    truth = draw_pages(config, 3)
    for name in files:
        digests = {hashlib.sha256(dataset.file(name).read_bytes()).hexdigest() for dataset in (crawl, again)}
        assert len(digests) == 1
        expected = truth.filter(pl.col("file") == name)
        with crawl.file(name).open("rb") as stream:
            found = [
                (record.headers["WARC-Target-URI"], record.headers["WARC-Date"], record.reader.read().decode())
                for record in ArchiveIterator(stream)
            ]
        assert found == list(expected.select("url", "timestamp", "html").iter_rows())
        assert expected["record"].to_list() == list(range(1, expected.height + 1))
    assert crawl.file("blocked_domains.txt").read_text().split() == list(BLOCKED_DOMAINS)


def test_pages_of_a_seed_are_published(tmp_path: Path) -> None:
    """With HTML, and what is blocked beside them."""
    dataset = build(tmp_path, web_pages, PAGES, "2")
    assert dataset.read().equals(draw_pages(PAGES, 2))
    assert dataset.manifest.metadata["to_remove"]["rules"] == 36
    assert dataset.file("blocked_words.txt").read_text().split()


def test_labelled_pages_are_balanced_and_not_of_the_crawl(tmp_path: Path) -> None:
    """Half of every task and split is bad, no text is twice, and none is of the topics that only a crawl has."""
    config = LabelledPagesConfig(n_train=40, n_test=20)
    rows = build(tmp_path, labelled_pages, config).read()
    assert rows.schema == LABELLED_PAGES
    assert rows.equals(draw_labelled(config))
    found = rows.group_by("task", "split", "label").len().iter_rows()
    counts = {(task, split, label): n for task, split, label, n in found}
    assert counts == {
        (task, split, label): size // 2
        for task in TASKS for split, size in (("train", 40), ("test", 20)) for label in (0, 1)
    }  # fmt: skip
    assert rows["text"].n_unique() == rows.height
    assert not set(rows["text"]) & set(draw_pages(PAGES, 0)["text"])


def test_presets_have_the_size_that_the_specification_asks_for() -> None:
    """5,000 to 10,000 pages: clean, planted, exact groups of 2.5 on average, pairs."""
    for preset in (TINY, PAPER):
        pages = preset.pages
        size = pages.n_clean + 13 * pages.n_planted + 2.5 * pages.n_exact_groups + 10 * pages.n_pairs
        assert len(STAGES) == 13
        assert 5_000 <= size <= 10_000
