"""The text pipeline from pages to documents, over crawl files that come one by one."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random

import dagster as dg
import polars as pl
import pytest

from assets.core.audit import read_audit
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import DatasetWriter, Lake
from assets.core.recipe import recipe
from assets.core.resources import LakeResource
from assets.core.rows import RowsResource
from assets.corpora.crawl.config import CRAWL_FILES
from assets.corpora.crawl.schema import PAGE_SCHEMA
from assets.corpora.schema import DOCUMENT_SCHEMA
from assets.internlm2.text import assets as text_assets
from assets.internlm2.text.assets import CLASSIFIERS, STAGES, common_plan, filter_frame, frames
from assets.internlm2.text.config import DedupConfig, RulesConfig
from assets.internlm2.tokenizer import encode, load_tokenizer, save_tokenizer, train_tokenizer

BY_FILE = [
    text_assets.filtered, text_assets.signatures, text_assets.deduplicated, text_assets.safe, text_assets.clean,
    text_assets.tokens,
]  # fmt: skip
SHARED = {"insult": "you are a worthless idiot and a fool", "porn": "the naked lovers moaned on the bed"}
ADVERT = "Buy now and save with our special offer. Order today, free delivery, call us now."
WORDS = [
    "".join(parts) for parts in itertools.product(["ba", "ke", "li", "mo", "tu"], ["den", "ra", "sel"], ["", "na"])
]


def prose(seed: int) -> str:
    """Ten lines of words that no other seed has in this order."""
    random = Random(seed)
    lines = [" ".join(random.choices([*WORDS, "the", "of", "and"], k=14)) for _ in range(10)]
    return "\n".join(f"{line.capitalize()}." for line in lines)


def page(url: str, dump: str, text: str, language: str = "en") -> dict[str, object]:
    return {
        "id": content_id(url, dump, text), "parents": [], "url": url, "domain": url.split("/")[2], "timestamp": "",
        "dump": dump, "source": "webpage", "language": language, "title": "a page", "text": text,
        "n_bytes": len(text.encode()), "file": "", "record": 0,
    }  # fmt: skip


OLD = [page(f"http://one.example/{n}", "2023-14", prose(n)) for n in range(4)]
FILES: dict[str, list[dict[str, object]]] = {
    "a.warc.gz": [
        *OLD,
        page("http://one.example/short", "2023-14", "Too short."),
        page("http://bad.blocked.example/x", "2023-14", prose(20)),
        page("http://one.example/word", "2023-14", prose(21) + "\nForbidden phrase, it said."),
    ],
    "b.warc.gz": [
        page("http://two.example/again", "2023-06", prose(0)),
        page("http://two.example/insult", "2023-14", prose(30) + f"\n{SHARED['insult']}."),
        page("http://two.example/advert", "2023-14", f"{prose(31)}\n{ADVERT}"),
    ],
    "empty.warc.gz": [],
}


@recipe("corpora/pages", partitions=CRAWL_FILES)
def pages(out: DatasetWriter, partition: str) -> None:
    """The pages of a crawl file."""
    found = pl.DataFrame(FILES[partition], schema=PAGE_SCHEMA)
    out.ledger.rows_in = found.height
    out.write(found)


@recipe("worlds/web_crawl")
def crawl(out: DatasetWriter) -> None:
    """Lists of what is blocked."""
    (out.folder / "blocked_domains.txt").write_text("blocked.example\n")
    (out.folder / "blocked_words.txt").write_text("forbidden phrase\n")
    out.write(pl.DataFrame({"id": []}, schema={"id": pl.String}))


@recipe("worlds/labelled_pages", ledger=False)
def labelled(out: DatasetWriter) -> None:
    """Bad pages are good ones with a sentence of their kind."""
    bad = {
        "advert": ADVERT,
        "toxicity": SHARED["insult"],
        "pornography": SHARED["porn"],
        "fluency": "wobble it it wobble was wobble were it wobble",
    }
    rows = [
        {
            "id": f"{task}{number}", "parents": [], "task": task, "label": number % 2,
            "split": "train" if number < 200 else "test",
            "text": prose(1_000 + number) + (f"\n{sentence}." if number % 2 else ""),
        }
        for task, sentence in bad.items()
        for number in range(240)
    ]  # fmt: skip
    out.write(pl.DataFrame(rows, schema_overrides={"parents": pl.List(pl.String)}))


@recipe("internlm2/tokenizer", kind="checkpoint", ledger=False)
def tokenizer(out: DatasetWriter) -> None:
    """Of the words that pages are made of."""
    trained = train_tokenizer([prose(0)], vocab_size=300, min_frequency=1)
    save_tokenizer(trained, out.folder, max_length=100)


class World:
    """A lake, and an instance that knows which crawl files there are."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root, self.instance = root, instance
        self.lake = Lake(str(root / "lake"), root / "work")
        self.resources = {
            "lake": LakeResource(root=str(root / "lake"), work=str(root / "work")),
            "rows": RowsResource(workers=1),
        }

    def run(
        self,
        chosen: list[dg.AssetsDefinition],
        partition: str | None = None,
        ops: Mapping[str, object] | None = None,
    ) -> list[str]:
        """What was built and not reused."""
        result = dg.materialize(
            chosen,
            instance=self.instance,
            partition_key=partition,
            resources=self.resources,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}, "ops": ops or self.ops(chosen)},
        )
        assert result.success
        return [
            f"{event.asset_key.path[-1]} {partition or ''}".strip()
            for event in result.get_asset_materialization_events()
            if event.asset_key and not event.step_materialization_data.materialization.metadata["reused"].value
        ]

    @staticmethod
    def ops(chosen: list[dg.AssetsDefinition]) -> dict[str, object]:
        """Few labelled pages: the classifiers must trust them more than they would by default."""
        names = [each.op.name for each in chosen if each in CLASSIFIERS]
        return {name: {"config": {"regularisation": 100.0, "hash_bits": 12}} for name in names}

    def everything(self, *names: str) -> list[str]:
        """All assets over these crawl files, in the order in which a job would run them; what was built."""
        self.instance.add_dynamic_partitions("crawl_files", list(names))
        built = [each for name in names for each in self.run([pages, *BY_FILE[:2]], name)]
        built += self.run([text_assets.duplicates])
        built += [each for name in names for each in self.run(BY_FILE[2:], name)]
        return built + self.run([text_assets.documents])

    def urls(self, key: str, name: str) -> list[str]:
        return self.lake.get(key, name).read()["url"].to_list()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        made = World(tmp_path_factory.mktemp("world"), instance)
        made.run([crawl, labelled, tokenizer, *CLASSIFIERS])
        made.everything(*FILES)
        yield made


def reasons(world: World, key: str, name: str) -> dict[str, str]:
    """Of each page that a stage dropped, why."""
    dataset = world.lake.get(key, name)
    before = pl.DataFrame(FILES[name], schema=PAGE_SCHEMA)
    audit = read_audit(dataset).join(before, on="id")
    return dict(audit.select("url", "reason").rows())


def test_every_stage_drops_what_is_its_own(world: World) -> None:
    """Each planted page is dropped by the stage and for the reason that it was planted for; the others stay."""
    assert reasons(world, STAGES["rules"], "a.warc.gz") == {"http://one.example/short": "too_few_words"}
    assert reasons(world, STAGES["dedup"], "b.warc.gz") == {"http://two.example/again": "near_duplicate"}
    assert reasons(world, STAGES["safety"], "a.warc.gz") == {
        "http://bad.blocked.example/x": "blocked_domain",
        "http://one.example/word": "blocked_words",
    }
    assert reasons(world, STAGES["safety"], "b.warc.gz") == {"http://two.example/insult": "toxicity"}
    assert reasons(world, STAGES["quality"], "b.warc.gz") == {"http://two.example/advert": "advert"}
    assert world.urls(STAGES["quality"], "a.warc.gz") == [row["url"] for row in OLD]


def test_documents_are_the_clean_pages(world: World) -> None:
    """Under the corpora's schema, each with its page as parent; the funnel adds up from the pages to them."""
    documents = world.lake.get("internlm2/text/documents")
    rows = documents.read()
    assert rows.schema == DOCUMENT_SCHEMA
    assert rows["parents"].explode().to_list() == [row["id"] for row in OLD]
    assert rows["package"].to_list() == ["one.example"] * 4
    assert documents.manifest.sound
    met = {name: sum(each.manifest.ledger["rows_in"] for each in world.lake.partitions(key).values())
           for name, key in STAGES.items()}  # fmt: skip
    assert met == {"pages": 10, "rules": 10, "dedup": 9, "safety": 8, "quality": 5}


def test_clean_pages_are_tokenized(world: World) -> None:
    """Row by row the ids of the tokenizer, so that a model can be trained on a crawl as on any corpus."""
    trained = load_tokenizer(world.lake.get("internlm2/tokenizer").folder)
    clean = world.lake.get(STAGES["quality"], "a.warc.gz").read()
    tokens = world.lake.get("internlm2/text/tokens", "a.warc.gz")
    assert tokens.read()["tokens"].to_list() == encode(trained, clean["text"].to_list())
    assert tokens.read()["id"].equals(clean["id"])
    assert tokens.manifest.metadata["tokens"] == tokens.read()["n_tokens"].sum() > 0
    assert world.lake.get("internlm2/text/tokens", "empty.warc.gz").read().schema == tokens.read().schema


def test_an_empty_crawl_file_goes_through(world: World) -> None:
    """It has datasets with columns and no rows at every stage, and a part of the duplicates."""
    for key in STAGES.values():
        assert world.lake.get(key, "empty.warc.gz").read().schema == PAGE_SCHEMA
    assert world.lake.get("internlm2/text/duplicates").slice("empty.warc.gz").rows == 0


def test_equal_runs_do_no_work(world: World) -> None:
    """Nothing of all the assets is computed a second time."""
    assert world.everything(*FILES) == []


def test_ledgers_are_in_the_manifests(world: World) -> None:
    """The audit of a stage has a line for each page that its ledger counts as dropped."""
    for key in list(STAGES.values())[1:]:
        for dataset in world.lake.partitions(key).values():
            ledger = dataset.manifest.ledger
            assert ledger is not None
            dropped = read_audit(dataset).group_by("reason").len()
            assert dict(dropped.rows()) == ledger["dropped"], json.dumps(ledger)


def test_a_new_file_rebuilds_what_it_concerns(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer copy of an old page takes its place: of the older files only the one that loses the page is rebuilt."""
    shutil.copytree(world.root, tmp_path, dirs_exist_ok=True)
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(tmp_path, instance)
        newer = page("http://three.example/copy", "2024-10", prose(1))
        monkeypatch.setitem(FILES, "c.warc.gz", [newer])
        built = world.everything(*FILES)
        own = ["pages", "filtered", "signatures", "deduplicated", "safe", "clean", "tokens"]
        assert sorted(built) == sorted(
            [f"{name} c.warc.gz" for name in own]
            + ["duplicates", "documents"]
            + [f"{name} a.warc.gz" for name in own[3:]]
        )
        assert world.urls(STAGES["dedup"], "c.warc.gz") == ["http://three.example/copy"]
        lost = read_audit(world.lake.get(STAGES["dedup"], "a.warc.gz"))
        assert lost.select("id", "stage", "dup_of").rows() == [(OLD[1]["id"], "dedup", newer["id"])]
        assert world.lake.get("internlm2/text/documents").rows == 4


def test_signatures_of_different_plans_are_not_compared(world: World, tmp_path: Path) -> None:
    """One crawl file signed by another n-gram stops the index, with the remedy."""
    shutil.copytree(world.root, tmp_path, dirs_exist_ok=True)
    other = World(tmp_path, world.instance)
    part = pl.DataFrame({"id": ["x"]})

    def fill(out: DatasetWriter) -> None:
        out.write(part)
        out.describe(plan={"ngram": 3})

    other.lake.build(
        key="internlm2/text/signatures", partition="b.warc.gz", kind="dataset", fingerprint="f" * 64,
        ingredients={}, fill=fill, keeps_ledger=False,
    )  # fmt: skip
    with pytest.raises(InputError, match="2 different plans"):
        common_plan(other.lake.partitions("internlm2/text/signatures"), DedupConfig())


def test_pages_newer_than_their_duplicates_are_refused(world: World, tmp_path: Path) -> None:
    """Rules that changed give other pages than the index was made of: the error says what to run."""
    shutil.copytree(world.root, tmp_path, dirs_exist_ok=True)
    other = World(tmp_path, world.instance)
    stricter = {"internlm2__text__filtered": {"config": {"min_words": 1_000}}}
    other.run([text_assets.filtered], "a.warc.gz", stricter)
    with pytest.raises(dg.Failure, match="duplicates is of other pages"):
        other.run([text_assets.deduplicated], "a.warc.gz")


def test_frames_are_bounded_in_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long pages come few at a time, and a page that is longer than a frame comes alone; none is lost."""
    dataset = world.lake.get("corpora/pages", "a.warc.gz")
    monkeypatch.setattr(text_assets, "FRAME_BYTES", dataset.read().estimated_size() // 3)
    assert [frame.height for frame in frames(dataset)] == [2, 2, 2, 1]
    monkeypatch.setattr(text_assets, "FRAME_BYTES", 1)
    assert pl.concat(frames(dataset)).equals(dataset.read())


def test_workers_do_not_change_the_result(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes over frames of two pages give the bytes that one process gives over whole files."""
    monkeypatch.setattr(text_assets, "FRAME_ROWS", 2)
    dataset = world.lake.get("corpora/pages", "a.warc.gz")
    judge = partial(filter_frame, config=RulesConfig())
    in_two = pl.concat(RowsResource(workers=2).map(judge, frames(dataset)))
    assert in_two.equals(judge(dataset.read()))
