"""`corpora/pages` as an asset: what is published, what is counted, and what a changed file rebuilds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.core.lake import DatasetWriter, Lake
from assets.core.recipe import recipe
from assets.core.resources import LakeResource
from assets.core.rows import RowsResource
from assets.corpora.crawl.assets import pages
from assets.corpora.crawl.config import CRAWL_FILES, CrawlConfig
from assets.corpora.crawl.files import crawl_files
from assets.corpora.crawl.schema import PAGE_SCHEMA
from tests.assets.corpora.crawl.tiny_warc import http, members, page, record

GERMAN = "Der Fluss entspringt in den Hügeln und windet sich durch die Wiesen bis zum Meer. " * 5


def crawl(number: int) -> bytes:
    """Two pages, one of them twice, a missing page and a broken one."""
    url = f"https://www.example{number}.org/a"
    return members(
        record(http(page(str(number))), url),
        record(http(page(str(number))), url),
        record(http(f"<html><body><p>{GERMAN}</p></body></html>".encode()), f"https://b{number}.de/"),
        record(http(page(), status="404 Not Found"), url),
        record(http(b""), url),
    )


@recipe("worlds/web_crawl", ledger=False)
def world(out: DatasetWriter) -> None:
    """Stands in for the generated crawl: its files lie beside its rows."""
    import polars as pl

    out.write(pl.DataFrame({"id": ["0"]}))
    (out.folder / "CC-MAIN-2023-14-00000.warc.gz").write_bytes(crawl(0))
    (out.folder / "blocked_words.txt").write_text("none\n")


class World:
    """A lake, a Dagster instance and the crawl's partitions."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.lake = Lake(str(root / "lake"), root / "work")
        resource = LakeResource(root=str(root / "lake"), work=str(root / "work"))
        self.resources = {"lake": resource, "rows": RowsResource(workers=1)}
        assert dg.materialize([world], instance=instance, resources=self.resources).success

    def run(self, partition: str, **config: object) -> bool:
        """Make the pages of one file; whether they were reused."""
        self.instance.add_dynamic_partitions(str(CRAWL_FILES.name), [partition])
        result = dg.materialize(
            [pages, *world.to_source_assets()],
            instance=self.instance,
            resources=self.resources,
            partition_key=partition,
            run_config={"ops": {"corpora__pages": {"config": config}}},
        )
        [event] = result.get_asset_materialization_events()
        return bool(event.materialization.metadata["reused"].value)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path / "home", instance)


def test_the_generated_crawl_stands_in(made: World) -> None:
    """Without a folder: pages under the schema, every record counted, and the pictures of languages and domains."""
    [partition] = crawl_files(CrawlConfig(folder=""), made.lake.get("worlds/web_crawl"))
    made.run(partition, folder="")
    dataset = made.lake.current("corpora/pages", partition)
    assert dataset is not None
    rows = dataset.read()
    assert rows.schema == PAGE_SCHEMA
    assert rows["domain"].to_list() == ["example0.org", "b0.de"]
    assert rows["language"].to_list() == ["en", "de"]
    assert rows["dump"].unique().to_list() == ["2023-14"]
    assert rows["file"].unique().to_list() == ["CC-MAIN-2023-14-00000.warc.gz"]
    assert rows["record"].to_list() == [1, 3]
    assert dataset.manifest.ledger == {
        "rows_in": 5, "rows_out": 2, "failed": 1, "dropped": {"http_status": 1, "repeated": 1}
    }  # fmt: skip
    assert dataset.dead_letters().row(0)[:3] == ("CC-MAIN-2023-14-00000.warc.gz", "5", "empty")
    assert dataset.manifest.metadata["languages"] == {"en": 1, "de": 1}
    assert dataset.manifest.plots == ["languages.png", "domains.png"]


def test_a_changed_file_rebuilds_its_own_partition(made: World, tmp_path: Path) -> None:
    """A crawl grows and is mended by the file: the others are not read again."""
    folder = tmp_path / "crawl"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.warc.gz").write_bytes(crawl(number))
    given = {"folder": str(folder), "languages": ["en"]}
    assert [made.run(name, **given) for name in ("1.warc.gz", "2.warc.gz")] == [False, False]
    (folder / "2.warc.gz").write_bytes(crawl(3))
    assert [made.run(name, **given) for name in ("1.warc.gz", "2.warc.gz")] == [True, False]
    changed = made.lake.current("corpora/pages", "2.warc.gz")
    assert changed is not None
    assert changed.read("domain")["domain"].to_list() == ["example3.org"]
