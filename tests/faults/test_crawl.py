"""A crawl that is killed, or grows by a file: nothing is lost or made twice, and only what is concerned is made."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from assets.worlds.web_pages.config import WebCrawlConfig
from assets.worlds.web_pages.crawl import draw_pages
from assets.worlds.web_pages.warc import write_warc
from tests.faults.checkout import LIMIT_SECONDS, Checkout, Done, finish, kill, open_lake, published, write_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
KILLS = 4
SEED = 0
LONGEST_DELAY = 1.5
PAGES = WebCrawlConfig(n_clean=60, n_planted=3, n_exact_groups=20, n_pairs=4, files_per_dump=1)
LABELLED = {"n_train": 200, "n_test": 60}
STAGES = ("corpora/pages", *(f"internlm2/text/{stage}" for stage in ("filtered", "signatures")))


@dataclass(frozen=True)
class Crawl:
    """A folder of crawl files, the configuration, and the digests of an undisturbed run over all of them."""

    folder: Path
    config: Path
    digests: str
    built: set[str]

    def run(self, checkout: Checkout, home: Path) -> Done:
        started = time.monotonic()
        return finish(checkout.start(home, "crawl", str(self.folder), "--config", str(self.config)), started)


@pytest.fixture(scope="module")
def crawl(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Crawl:
    root = tmp_path_factory.mktemp("crawl")
    folder = root / "files"
    folder.mkdir()
    for (name,), rows in draw_pages(PAGES, 7).group_by("file", maintain_order=True):
        write_warc(folder / str(name), rows.iter_rows(named=True))
    config = {
        "ops": {
            "worlds__web_crawl": {"config": PAGES.model_dump()},
            "worlds__labelled_pages": {"config": LABELLED},
            "corpora__clean_documents": {"config": {"sample_bytes": 100_000}},
            "internlm2__tokenizer": {"config": {"vocab_size": 400}},
        }
    }
    written = write_config(root / "crawl.yaml", config)
    undisturbed = Crawl(folder, written, "", set()).run(checkout, root / "home")
    assert undisturbed.code == 0, undisturbed.err
    return Crawl(folder, written, checkout.digests(root / "home"), undisturbed.built)


def kill_once(checkout: Checkout, crawl: Crawl, home: Path, after: int, delay: float) -> bool:
    """Start the crawl and kill it `delay` seconds after `after` datasets are there; False when it ended before."""
    process = checkout.start(home, "crawl", str(crawl.folder), "--config", str(crawl.config))
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(published(home)) < after:
        assert time.monotonic() < deadline
        if process.poll() is not None:
            process.communicate()
            return False
        time.sleep(0.02)
    time.sleep(delay)
    ended = process.poll() is not None
    kill(process)
    return not ended


def test_killed_again_and_again(checkout: Checkout, crawl: Crawl, home: Path) -> None:
    """Killed at random moments, the crawl ends with the digests of an undisturbed run, and builds nothing twice."""
    rng = random.Random(SEED)
    datasets = len(crawl.digests.splitlines())
    kills, before = 0, {}
    for after in sorted(rng.randrange(datasets) for _ in range(KILLS)):
        kills += kill_once(checkout, crawl, home, after, rng.uniform(0, LONGEST_DELAY))
        earlier, before = before, published(home)
        assert {key: before[key] for key in earlier} == earlier, "a finished dataset was built twice"
        assert all(dataset.is_whole for dataset in open_lake(home).datasets())
    assert kills >= KILLS // 2
    last = crawl.run(checkout, home)
    assert last.code == 0, last.err
    assert checkout.digests(home) == crawl.digests
    assert {key: published(home)[key] for key in before} == before, "a finished dataset was built twice"
    assert list((home / "lake" / ".staging").glob("*")) == []
    with sqlite3.connect(home / "dagster" / "history" / "runs.db") as database:
        assert {status for (status,) in database.execute("select status from runs")} == {"SUCCESS", "FAILURE"}


def test_a_file_more_costs_a_file(checkout: Checkout, crawl: Crawl, home: Path, tmp_path: Path) -> None:
    """The oldest file comes last: it is read, the index is made anew, and no other file is read, filtered or signed.

    What is there at the end is what there is when all files were there from the start.
    """
    files = sorted(crawl.folder.iterdir())
    growing = Crawl(tmp_path / "files", crawl.config, "", set())
    growing.folder.mkdir()
    for file in files[1:]:
        shutil.copy(file, growing.folder)
    assert growing.run(checkout, home).code == 0
    before = published(home)
    shutil.copy(files[0], growing.folder)
    more = growing.run(checkout, home)
    assert more.code == 0, more.err
    built = more.built - {"dbt"}
    new = files[0].name
    after = ("deduplicated", "safe", "clean", "tokens")
    assert {f"{stage}@{new}" for stage in STAGES} < built
    assert built - {f"{stage}@{new}" for stage in STAGES} == {
        "internlm2/text/duplicates", "internlm2/text/documents", *(f"internlm2/text/{stage}@{new}" for stage in after)
    }  # fmt: skip
    assert {key: published(home)[key] for key in before if "@" in key and key.split("@")[1]} == {
        key: value for key, value in before.items() if key.split("@")[1]
    }
    assert checkout.digests(home) == crawl.digests


def test_a_broken_file_is_told_and_the_others_are_read(checkout: Checkout, crawl: Crawl, home: Path) -> None:
    """A file that holds nothing that can be read ends the crawl with its name and the remedy, after all the others."""
    folder = home.parent / "files"
    shutil.copytree(crawl.folder, folder)
    (folder / "CC-MAIN-2024-10-broken.warc.gz").write_bytes(b"\x1f\x8b not gzip")
    done = Crawl(folder, crawl.config, "", set()).run(checkout, home)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "CC-MAIN-2024-10-broken.warc.gz" in done.err
    assert "→" in done.err
    assert {f"corpora/pages@{file.name}" for file in crawl.folder.iterdir()} <= published(home).keys()
