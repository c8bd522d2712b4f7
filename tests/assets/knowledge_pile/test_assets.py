"""The whole graph of Knowledge Pile on a small collection: from documents to claims, reused, and by another writer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.core.generation import roles as roles_module
from assets.core.generation.roles import Roles
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.resources import LakeResource
from assets.core.retrieval.resource import RetrievalResource
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.corpora.schema import document, documents_frame
from assets.internlm2.assets import tokenizer
from assets.internlm2.config import TokenizerConfig
from assets.knowledge_pile import assets as method
from assets.knowledge_pile import pool_assets
from assets.knowledge_pile.arms import ARMS
from assets.knowledge_pile.claim_assets import knowledge_pile_claims
from assets.knowledge_pile.config import (
    BaseConfig,
    HitsConfig,
    LearnConfig,
    PoolConfig,
    QueriesConfig,
    SeedsConfig,
    SelectConfig,
)
from assets.knowledge_pile.contamination_assets import contamination
from assets.knowledge_pile.training_assets import CHECKPOINTS, SCORES, SELECTIONS, base
from models.inference.engine import Completion, Message, Request, Sample, Usage

pytestmark = pytest.mark.slow

POOL = [pool_assets.pool, pool_assets.tokens, pool_assets.index]
METHOD = [method.seeds, method.queries, method.hits, method.pile, contamination]
TRAINED = [*SELECTIONS, base, *CHECKPOINTS, *SCORES]
GRAPH = [tokenizer, *POOL, *METHOD, *TRAINED]
STATISTICS = ["regression", "variance", "sample", "median", "cluster", "forest", "mean", "test", "random", "normal"]
COOKING = ["bread", "flour", "oven", "sugar", "butter", "salt", "pan", "knife", "soup", "onion", "rice", "egg"]


def texts(words: list[str], n: int, seed: int) -> list[str]:
    """Texts of 24 sentences of six words, so that no two share 13 words in a row."""
    rng = np.random.default_rng(seed)
    sentences = [[" ".join(rng.choice(words, 6)).capitalize() + "." for _ in range(24)] for _ in range(n)]
    return [" ".join(text) for text in sentences]


class Scripted:
    """A model that asks one question on every piece of seed information, and answers it with a word of cooking."""

    def identity(self) -> dict[str, object]:
        return {"engine": "scripted"}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion]]:
        for place, request in enumerate(requests):
            message = request.prompt[0]
            assert isinstance(message, Message)
            words = re.findall(r"\w+", message.content.splitlines()[2] if "student" in message.content else "")
            text = f"1. What has {' '.join(words[:4])} to do with bread?" if words else "Bread needs flour and an oven."
            yield place, Completion(tuple(Sample(text, "stop") for _ in range(request.n)), Usage(1, 1), 0.1)

    def close(self) -> None: ...


class World:
    """A home with documents of two subjects, of which statistics is the domain, and the graph over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = Lake(str(folder / "lake"), folder / "work")
        self.roles = folder / "roles.toml"
        self.roles.write_text("")
        self.publish("corpora/installed_docs", self.documents())
        self.publish("corpora/clean_documents", self.documents())

    @staticmethod
    def documents() -> pl.DataFrame:
        rows = [
            document("prose", package, f"{package}.m{n // 4}", str(n), text)
            for package, words, seed in (("stats", STATISTICS, 0), ("cooking", COOKING, 1))
            for n, text in enumerate(texts(words, 60, seed))
        ]
        return documents_frame(rows)

    def publish(self, key: str, frame: pl.DataFrame) -> None:
        def fill(out: DatasetWriter) -> None:
            out.write(frame)

        self.lake.build(
            key=key, partition="", kind="dataset", fingerprint="a" * 64, ingredients={}, fill=fill, keeps_ledger=False
        )

    def run(
        self, assets: list[dg.AssetsDefinition], partition: str | None = None, **sections: dg.Config
    ) -> dg.ExecuteInProcessResult:
        keys = [asset.key for asset in assets]
        names = {"__".join(key.path) for key in keys}
        config = {name: each for name, each in {**self.config(), **sections}.items() if name in names}
        return dg.materialize(
            [*GRAPH, knowledge_pile_claims],
            selection=keys,
            partition_key=partition,
            resources={
                "lake": LakeResource(root=str(self.folder / "lake"), work=str(self.folder / "work")),
                "roles": Roles(file=str(self.roles), database=str(self.folder / "generation.db")),
                "tracking": Tracking(
                    tracking_uri=f"sqlite:///{self.folder / 'mlflow.db'}", artifacts=str(self.folder / "artifacts")
                ),
                "trainer": TrainerResource(),
                "retrieval": RetrievalResource(),
            },
            run_config={
                "ops": {
                    name: {"config": each.model_dump(mode="json")} for name, each in config.items() if name in names
                }
            },
            raise_on_error=False,
        )

    def config(self) -> dict[str, dg.Config]:
        size: dict[str, Any] = {"dim": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "ffn_dim": 32}
        shape: dict[str, Any] = {"sequence_length": 64, "batch_rows": 2}
        return {
            "internlm2__tokenizer": TokenizerConfig(vocab_size=400),
            "knowledge_pile__pool": PoolConfig(
                passage_words=50, domain_modules=["stats"], heldout_share=0.2, general_heldout_share=0.2
            ),
            "knowledge_pile__queries": QueriesConfig(n_feedback=4),
            "knowledge_pile__hits": HitsConfig(top_k=10),
            **{f"knowledge_pile__selection__{arm}": SelectConfig(tokens=1024) for arm in ARMS},
            "knowledge_pile__base": BaseConfig(**size, **shape, tokens=1024),
            **{f"knowledge_pile__checkpoint__{arm}": LearnConfig(**shape) for arm in ARMS},
        }

    def get(self, stage: str, partition: str = "") -> Dataset:
        return self.lake.get(f"knowledge_pile/{stage}", partition)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("home"))
    result = made.run(GRAPH, "0")
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert made.run([knowledge_pile_claims]).success
    return made


def reused(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    materialized = [event.materialization for event in result.get_asset_materialization_events()]
    return {each.asset_key.to_user_string(): bool(each.metadata["reused"].value) for each in materialized}


def test_equal_runs_do_no_work(world: World) -> None:
    """Every asset finds what it published: nothing depends on the clock or on the order of sets."""
    found = reused(world.run(GRAPH, "0"))
    assert len(found) == len(GRAPH)
    assert all(found.values())


def test_held_out_passages_are_nowhere_in_the_pile(world: World) -> None:
    """Neither by id, nor by module, nor by 13 words in a row; the blocking check says the same."""
    heldout = world.get("pool").slice("heldout").read()
    pool = world.get("pool").slice("pool").read()
    pile = world.get("pile").read()
    assert set(heldout["in_domain"]) == {True, False}
    assert not set(heldout["module"]) & set(pool["module"])
    assert set(pile["doc_id"]) <= set(pool["id"])
    assert not set(pile["doc_id"]) & set(heldout["id"])

    def grams(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[start : start + 13]) for start in range(len(words) - 12)}

    kept_out = set().union(*map(grams, heldout["text"]))
    assert not any(grams(text) & kept_out for text in pile["text"])
    checks = world.get("contamination").manifest.checks
    assert [(check.name, check.passed) for check in checks] == [("no_heldout_text_in_pile", True)]


def test_every_row_of_the_pile_leads_to_its_seed(world: World) -> None:
    """Over the query that found it and the queries that this came from."""
    queries = {row["id"]: row for row in world.get("queries").read().iter_rows(named=True)}
    seeds = set(world.get("seeds").read("id")["id"])
    assert {row["kind"] for row in queries.values()} == {"seed", "question", "thought"}
    assert {row["llm"] for row in queries.values()} == {"given", "template"}
    pile = world.get("pile").read()
    hits = world.get("hits").read()
    for row in pile.iter_rows(named=True):
        assert queries[row["first_query_id"]]["seed_id"] == row["first_seed_id"]
        assert row["first_seed_id"] in seeds
        assert row["n_queries_hit"] == hits.filter(pl.col("doc_id") == row["doc_id"]).height


def test_arms_train_on_equal_tokens_from_one_base(world: World) -> None:
    """What the comparison holds equal; the arms that retrieve take nothing that is not in the pile."""
    pile = set(world.get("pile").read("doc_id")["doc_id"])
    labels = dict(world.get("pool").read("id", "in_domain").iter_rows())
    base_id = world.get("base", "0").read("id").item()
    for arm in ARMS:
        selection = world.get(f"selection/{arm}", "0").read()
        checkpoint = world.get(f"checkpoint/{arm}", "0").read()
        assert selection["n_tokens"].sum() == checkpoint["tokens"].item() == 1024
        assert checkpoint["parents"].item()[0] == base_id
        if arm in ("seed_only", "questions", "thoughts"):
            assert set(selection["document_id"]) <= pile
        if arm == "oracle":
            assert all(labels[name] for name in selection["document_id"])


def test_every_claim_is_measured_on_the_same_passages(world: World) -> None:
    """One seed decides nothing; all four claims are there, with who wrote the queries."""
    claims = world.lake.get("claims/knowledge_pile")
    rows = claims.read()
    assert {claim[0] for claim in rows["claim"]} == {"1", "2", "3", "4"}
    assert set(rows["verdict"]) == {"inconclusive"}
    assert (claims.manifest.metadata["queries_by"], claims.manifest.metadata["size"]) == ("template", "rules")
    assert claims.file("domain_share.png").stat().st_size > 1000
    scored = [set(world.get(f"scores/{arm}", "0").read("document_id")["document_id"]) for arm in ARMS]
    assert all(each == scored[0] for each in scored)
    heldout = world.get("pool").slice("heldout")
    assert scored[0] == set(heldout.read("id")["id"])
    metadata = world.get("scores/oracle", "0").manifest.metadata
    assert metadata["domain_share"] == 1.0
    assert metadata["precision"] == 1.0


def test_a_model_writes_other_queries_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound to a model, queries are written anew, and the hits follow; without it everything is found again."""
    monkeypatch.delenv("ATHANOR_GENERATION_URL", raising=False)
    monkeypatch.setattr(roles_module, "start", lambda *_: Scripted())
    role = 'engine = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "scripted"\n'
    world.roles.write_text(f"[roles.writer]\n{role}price = {{prompt = 0, completion = 0}}\n")
    states = reused(world.run([method.seeds, method.queries, method.hits]))
    written = world.get("queries").read()
    world.roles.write_text("")
    assert states == {"knowledge_pile/seeds": True, "knowledge_pile/queries": False, "knowledge_pile/hits": False}
    assert set(written["llm"]) == {"given", "scripted"}
    assert written.filter(pl.col("kind") == "question")["text"].str.contains("bread").all()
    assert set(written.filter(pl.col("kind") == "thought")["text"]) == {"Bread needs flour and an oven."}
    assert all(reused(world.run([method.seeds, method.queries, method.hits])).values())


def test_seeds_of_a_file_are_the_seeds(world: World, tmp_path: Path) -> None:
    """Another content of the same file is another version; a repeated seed is counted, a broken line is told."""
    path, before = tmp_path / "seeds.jsonl", world.get("seeds").digest
    row = '{"kind": "keyword", "text": "sourdough"}\n'
    path.write_text(row * 2)
    config = SeedsConfig(domain="baking", path=str(path))
    assert world.run([method.seeds], knowledge_pile__seeds=config).success
    made = world.get("seeds")
    assert made.read("domain", "kind", "text").rows() == [("baking", "keyword", "sourdough")]
    assert made.manifest.ledger is not None
    assert made.manifest.ledger["dropped"] == {"duplicate": 1}
    path.write_text(row + "no JSON\n")
    assert not world.run([method.seeds], knowledge_pile__seeds=config).success
    assert reused(world.run([method.seeds])) == {"knowledge_pile/seeds": True}
    assert world.get("seeds").digest == before


def test_a_source_that_was_not_built_is_named(world: World) -> None:
    """And only the chosen one must be there: the graph above runs without a crawl."""
    result = world.run([pool_assets.pool], knowledge_pile__pool=PoolConfig(source="crawl", domain_modules=["stats"]))
    (failed,) = result.filter_events(lambda event: event.is_step_failure)
    described = failed.step_failure_data.user_failure_data
    assert described is not None
    assert "materialize internlm2/text/documents first" in (described.description or "")
