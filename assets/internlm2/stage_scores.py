"""The asset behind claim I1: every stage of the text pipeline on a generated crawl, page by page."""

from __future__ import annotations

from functools import partial

import polars as pl

from assets.core.dedup import MinHashPlan, near_duplicates
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input, recipe
from assets.core.rows import RowsResource
from assets.corpora.crawl.extract import Extraction, main_text
from assets.internlm2.stage_config import SEEDS, StageScoresConfig
from assets.internlm2.stages import STAGE_SCORES, Judge, fixed, score_extraction, score_stages
from assets.internlm2.text.blocklists import read_blocklists
from assets.internlm2.text.classifier import Classifier
from assets.internlm2.text.config import TASKS
from assets.internlm2.text.funnel import leaks, table
from assets.internlm2.text.normalise import normalise
from assets.internlm2.text.quality import quality_verdicts
from assets.internlm2.text.rules import rule_verdicts
from assets.internlm2.text.safety import hosts_of, safety_verdicts

FRAME_ROWS = 50  # pages that a worker extracts at a time


def dedup_verdicts(pages: pl.DataFrame, plan: MinHashPlan) -> pl.DataFrame:
    """Verdicts of deduplication in memory; the newest dump survives, then the newest page."""
    priority = pl.concat_str("dump", "timestamp", separator=" ")
    found = near_duplicates(pages.select("id", "text", priority=priority), plan)
    reason = pl.when(pl.col("dup_of") != "").then(pl.lit("near_duplicate")).otherwise(pl.lit(""))
    return found.with_columns(reason=reason)


def extract_frame(pages: pl.DataFrame) -> pl.DataFrame:
    """Main text of each page's HTML, and all its text."""
    from trafilatura import html2txt

    found = [(main_text(html, Extraction())[1], html2txt(html)) for html in pages["html"]]
    return pl.DataFrame(found, schema={"main": pl.String, "all": pl.String}, orient="row")


@recipe(
    "internlm2/stage_scores",
    inputs={
        "pages": Input("worlds/web_pages"),
        **{task: Input(f"internlm2/text/classifier/{task}") for task in TASKS},
    },
    partitions=SEEDS,
    ledger=False,
    checks=("funnel_adds_up",),
    resources=("rows",),
    tags={"stage": "evaluate"},
)
def stage_scores(
    out: DatasetWriter, config: StageScoresConfig, pages: Dataset, partition: str, rows: RowsResource, **tasks: Dataset
) -> None:
    """What each stage of the text pipeline does to pages whose defects are known, and what is left without it."""
    crawl = normalise(pages.read())
    # Other hash functions for every seed: what is found depends on them too.
    plan = MinHashPlan(
        n_hashes=config.signatures.n_hashes, ngram=config.signatures.ngram, bands=config.dedup.bands,
        threshold=config.dedup.threshold, seed=config.signatures.seed + int(partition),
    )  # fmt: skip
    scored, funnel = score_stages(crawl, _judges(config, pages, crawl, plan, tasks), plan, int(partition))
    some = crawl.gather_every(max(1, crawl.height // config.n_extracted)).head(config.n_extracted)
    texts = pl.concat(rows.map(extract_frame, some.iter_slices(FRAME_ROWS)))
    extraction = score_extraction(some, texts["main"].to_list(), texts["all"].to_list(), int(partition))
    everything = pl.concat([extraction, scored])
    names = [content_id("stage", partition, *row) for row in everything.select("stage", "item_id").iter_rows()]
    named = everything.with_columns(id=pl.Series(names, dtype=pl.String), parents=pl.concat_list("item_id"))
    out.write(named.select(STAGE_SCORES.names()))
    out.check("funnel_adds_up", not leaks(funnel), leaks=leaks(funnel))
    out.describe(funnel=table(funnel))


def _judges(
    config: StageScoresConfig, pages: Dataset, crawl: pl.DataFrame, plan: MinHashPlan, tasks: dict[str, Dataset]
) -> dict[str, Judge]:
    """The stages; those that look at one page at a time have judged every page once."""
    classifiers = {task: Classifier.load(tasks[task].folder) for task in TASKS}
    domains, words = (str(pages.file(f"blocked_{name}.txt")) for name in ("domains", "words"))
    blocked = read_blocklists(domains, words, hosts_of(crawl["url"]).drop_nulls().unique().to_list())
    return {
        "rules": fixed(rule_verdicts(crawl, config.rules)),
        "dedup": partial(dedup_verdicts, plan=plan),
        "safety": fixed(safety_verdicts(crawl, config.safety, classifiers, blocked)),
        "quality": fixed(quality_verdicts(crawl, config.quality, classifiers)),
    }
