"""Assets of Knowledge Pile's method: from a few seeds over queries and hits to the pile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from assets.core.dedup import MinHashPlan, SignaturePart, find_duplicates, near_duplicates, signature_frame
from assets.core.errors import AthanorError, InputError
from assets.core.generation.responder import Responder
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import Input, recipe
from assets.core.retrieval.resource import RetrievalResource, Searcher
from assets.knowledge_pile import plots
from assets.knowledge_pile.bootstrap import Bootstrapper, Query, bootstrap
from assets.knowledge_pile.config import HitsConfig, PileConfig, QueriesConfig, SeedsConfig
from assets.knowledge_pile.pile import filter_reasons, found_among, unite
from assets.knowledge_pile.pool_assets import POOL
from assets.knowledge_pile.seeds import Seed, built_in_seeds, seeds_of
from assets.knowledge_pile.templates import Find, TemplateBootstrapper
from assets.knowledge_pile.writer import LLMBootstrapper

QUERIES_AT_ONCE = 200
QUERIES = Input("knowledge_pile/queries")
INDEX = Input("knowledge_pile/index")
INDEX_FOLDER = "index"
HITS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "query_id": pl.String(),
        "doc_id": pl.String(),
        "rank": pl.Int64(),
        "bm25": pl.Float64(),
    }
)


def seed_file(config: SeedsConfig) -> Mapping[str, Any]:
    """The digest of the file of seeds."""
    return {"file": sha256(_read(config.path)).hexdigest()} if config.path else {}


def _read(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(f"the seeds in {path} cannot be read ({error.strerror})", "correct `path`") from error


@recipe("knowledge_pile/seeds", external=seed_file, tags={"stage": "input"})
def seeds(out: DatasetWriter, config: SeedsConfig) -> None:
    """What is known of the domain: its names, keywords, questions and sentences of textbooks."""
    found = seeds_of(_json_lines(config.path), config.domain) if config.path else built_in_seeds(config.domain)
    out.ledger.rows_in = len(found)
    once = {seed.id: seed for seed in found}
    out.ledger.drop("duplicate", len(found) - len(once))
    nobody = pl.Series("parents", [[]] * len(once), dtype=pl.List(pl.String))
    out.write(pl.DataFrame([asdict(seed) for seed in once.values()]).insert_column(1, nobody))


def _json_lines(path: str) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in _read(path).splitlines() if line.strip()]
    except ValueError as error:
        raise InputError(f"the seeds in {path} are no JSON lines ({error})", "write one JSON object a line") from error


@recipe(
    "knowledge_pile/queries",
    inputs={"seeds": Input("knowledge_pile/seeds"), "pool": POOL, "index": INDEX},
    roles=("writer",),
    resources=("retrieval",),
    tags={"stage": "write"},
)
def queries(
    out: DatasetWriter,
    config: QueriesConfig,
    seeds: Dataset,
    pool: Dataset,
    index: Dataset,
    writer: Responder,
    retrieval: RetrievalResource,
) -> None:
    """Seeds, questions and thoughts of all rounds, by the model that plays the writer, or by templates (rules)."""
    given = [Seed(*row) for row in seeds.read("id", "domain", "kind", "text").iter_rows()]
    find = partial(_texts_found, retrieval.open(index.folder / INDEX_FOLDER), pool, config.n_documents)
    bootstrapper = _bootstrapper(config, given[0].domain, writer, find)
    found = bootstrap(
        given, bootstrapper, n_rounds=config.n_rounds, n_feedback=config.n_feedback, sample_seed=config.sample_seed
    )
    out.ledger.rows_in = len(found.queries) + found.duplicates + len(found.failures)
    out.ledger.drop("duplicate", found.duplicates)
    for asked, problem in found.failures:
        out.dead_letter(file=f"query {asked.id}", line=None, reason=problem.partition(":")[0], detail=problem)
    kept = without_near_duplicates(queries_frame(found.queries), config.similarity)
    out.ledger.drop("near_duplicate", len(found.queries) - kept.height)
    out.write(kept)
    counts = kept.group_by("kind", "depth", maintain_order=True).len()
    out.describe(
        writer=bootstrapper.name, size=writer.binding.size,
        queries={f"{kind}, round {depth}": n for kind, depth, n in counts.iter_rows()},
    )  # fmt: skip
    out.plot("queries", plots.plot_queries(counts))


def _bootstrapper(config: QueriesConfig, domain: str, writer: Responder, find: Find) -> Bootstrapper:
    if writer.is_rules:
        return TemplateBootstrapper(
            find, n_questions=config.n_questions, n_sentences=config.n_sentences, sample_seed=config.sample_seed
        )
    return LLMBootstrapper(
        writer.engine, writer.binding.model, domain=domain, n_questions=config.n_questions,
        n_samples=config.n_samples, temperature=config.temperature,
        thought_temperature=config.thought_temperature, max_new_tokens=config.max_new_tokens,
        sample_seed=config.sample_seed,
    )  # fmt: skip


def _texts_found(index: Searcher, pool: Dataset, k: int, questions: Sequence[str]) -> list[list[str]]:
    """The passages that each question finds, best first."""
    hits = index.search(questions, k)
    texts = dict(
        pool.scan().select("id", "text").filter(pl.col("id").is_in(hits["id"].to_list())).collect().iter_rows()
    )
    found: list[list[str]] = [[] for _ in questions]
    for place, name in hits.sort("query", "rank").select("query", "id").iter_rows():
        found[place].append(texts[name])
    return found


def queries_frame(found: Sequence[Query]) -> pl.DataFrame:
    """Queries as rows, in their order."""
    rows = [asdict(query) | {"parents": [query.parent_query_id or query.seed_id]} for query in found]
    schema = {
        "id": pl.String(), "parents": pl.List(pl.String()), "seed_id": pl.String(), "parent_query_id": pl.String(),
        "depth": pl.Int64(), "kind": pl.String(), "text": pl.String(), "llm": pl.String(), "sample_seed": pl.Int64(),
        "temperature": pl.Float64(),
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def without_near_duplicates(found: pl.DataFrame, similarity: float) -> pl.DataFrame:
    """Queries of which no earlier one is a near-duplicate."""
    latest = found.height
    earlier_first = found.select("id", "text", priority=(latest - pl.int_range(pl.len())).cast(pl.String).str.zfill(12))
    judged = near_duplicates(earlier_first, MinHashPlan(threshold=similarity))
    return found.join(judged.filter(pl.col("dup_of") == ""), on="id", how="semi", maintain_order="left")


@recipe(
    "knowledge_pile/hits",
    inputs={"queries": QUERIES, "index": INDEX},
    ledger=False,
    resources=("retrieval",),
    tags={"stage": "retrieve"},
)
def hits(
    out: DatasetWriter, config: HitsConfig, queries: Dataset, index: Dataset, retrieval: RetrievalResource
) -> None:
    """The first passages of every query by BM25."""
    searched = retrieval.open(index.folder / INDEX_FOLDER)
    asked = queries.read("id", "text")
    per_query: list[int] = []
    batches = asked.iter_slices(QUERIES_AT_ONCE)
    for rows in track(batches, label="searches", total=-(-asked.height // QUERIES_AT_ONCE), unit=" batches"):
        found = searched.search(rows["text"].to_list(), config.top_k)
        named = found.select(
            query_id=rows["id"].gather(found["query"]), doc_id="id", rank=pl.col("rank").cast(pl.Int64), bm25="score"
        )
        names = [content_id("hit", *pair) for pair in named.select("query_id", "doc_id").iter_rows()]
        out.write(
            named.select(
                pl.Series("id", names, dtype=pl.String), parents=pl.concat_list("query_id", "doc_id"),
                query_id="query_id", doc_id="doc_id", rank="rank", bm25=pl.col("bm25").cast(pl.Float64),
            )
        )  # fmt: skip
        counts = named.group_by("query_id").len()
        per_query += [*counts["len"], *[0] * (rows.height - counts.height)]
    out.describe(queries=asked.height, without_hits=per_query.count(0))
    out.plot("hits_per_query", plots.plot_hits(per_query))


@recipe(
    "knowledge_pile/pile",
    inputs={
        "hits": Input("knowledge_pile/hits"),
        "queries": QUERIES,
        "seeds": Input("knowledge_pile/seeds"),
        "pool": POOL,
    },
    tags={"stage": "clean"},
)
def pile(
    out: DatasetWriter, config: PileConfig, hits: Dataset, queries: Dataset, seeds: Dataset, pool: Dataset
) -> None:
    """All that was found, each passage once, without near-duplicates and without what is too short or no prose.

    The pool is read twice, shard by shard; of what was found no text is kept in memory.
    """
    united = unite(hits.scan(), queries.read("id", "seed_id"))
    out.ledger.rows_in = hits.rows
    out.ledger.drop("same_document", hits.rows - united.height)
    distinct = distinct_documents(
        pool.batches("id", "text"), united, MinHashPlan(threshold=config.similarity), out.work / "signatures"
    )
    out.ledger.drop("near_duplicate", united.height - distinct.height)
    # The arms that do not retrieve pass their passages through the same filters.
    filters = config.model_dump(include={"min_words", "max_words", "max_symbol_share"})
    domain = seeds.read("domain")["domain"][0]
    n_kept = 0
    for batch in pool.batches("id", "url", "text", "n_words"):
        found = found_among(batch, distinct)
        reasons = filter_reasons(found["text"], **filters)
        for reason, n in reasons.filter(reasons != "").value_counts().sort("reason").iter_rows():
            out.ledger.drop(reason, n)
        kept = found.filter(reasons == "")
        n_kept += kept.height
        out.write(
            kept.select(
                pl.Series("id", [content_id("pile", name) for name in kept["doc_id"]], dtype=pl.String),
                pl.concat_list("doc_id", "first_query_id").alias("parents"),
                "doc_id", "url", "text", "n_words", pl.lit(domain).alias("domain"),
                "best_bm25", "n_queries_hit", "first_query_id", "first_seed_id",
            )
        )  # fmt: skip
    funnel = {"hits": hits.rows, "documents": united.height, "distinct": distinct.height, "kept": n_kept}
    out.describe(filters=filters, share_of_pool=round(n_kept / pool.rows, 4))
    out.plot("funnel", plots.plot_funnel(funnel))


def distinct_documents(
    pool: Iterable[pl.DataFrame], united: pl.DataFrame, plan: MinHashPlan, work: Path
) -> pl.DataFrame:
    """The rows of `united` (ordered by doc_id) of which no document that is kept is a near-duplicate. `pool`: id, text.

    Signatures go to files in `work`. Raises AthanorError where the pool does not hold each of them once.
    """
    work.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, batch in enumerate(pool):
        path = work / f"{number}.parquet"
        signature_frame(found_among(batch, united).select("text", id="doc_id"), plan).write_parquet(path)
        parts.append(SignaturePart(str(number), [path]))
    judged = pl.concat(find_duplicates(parts, plan, work / "bands"))
    if judged.height != united.height:
        raise AthanorError(
            f"the pool holds {judged.height:,} of the {united.height:,} passages that were found",
            "materialize knowledge_pile/pool, then knowledge_pile/index and knowledge_pile/hits",
        )
    kept = judged.filter(pl.col("dup_of") == "").select(doc_id="id")
    return united.join(kept, on="doc_id", how="semi", maintain_order="left")
