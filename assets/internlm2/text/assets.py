"""Assets of the text pipeline, by crawl file: rules, deduplication, safety, quality; the classifiers; the documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from assets.core.audit import apply_judged, apply_verdicts, with_verdicts
from assets.core.decontamination.check import no_evaluation_text
from assets.core.decontamination.texts import TextSource
from assets.core.dedup import MinHashPlan, SignaturePart, find_duplicates, signature_frame
from assets.core.errors import AthanorError, InputError
from assets.core.fingerprint import canonical
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import CHEAP, OWN_PARTITION, Input, recipe
from assets.core.rows import RowsResource
from assets.core.tracking_model import digest_folder
from assets.corpora.crawl.config import CRAWL_FILES
from assets.corpora.schema import Document, document, documents_frame
from assets.internlm2.text import plots
from assets.internlm2.text.blocklists import Blocklists, digests, read_blocklists
from assets.internlm2.text.classifier import Classifier, train_classifier
from assets.internlm2.text.config import (
    TASKS,
    ClassifierConfig,
    DedupConfig,
    QualityConfig,
    RulesConfig,
    SafetyConfig,
    SignaturesConfig,
)
from assets.internlm2.text.evaluation import evaluate
from assets.internlm2.text.funnel import funnel, leaks, table
from assets.internlm2.text.normalise import normalise
from assets.internlm2.text.quality import quality_verdicts
from assets.internlm2.text.rules import rule_verdicts
from assets.internlm2.text.safety import hosts_of, safety_verdicts
from assets.internlm2.tokenizer import load_tokenizer, write_tokens

# Pages that a worker takes at a time, and about how many bytes of them: its memory is some twenty times as much.
FRAME_ROWS, FRAME_BYTES = 1_000, 8 * 1024**2


def frames(dataset: Dataset, *columns: str) -> Iterator[pl.DataFrame]:
    """The rows in frames of at most FRAME_ROWS; of an empty dataset one frame, which still has its columns."""
    for batch in dataset.batches(*columns):
        rows = int(batch.height * FRAME_BYTES / max(1, batch.estimated_size()))
        yield from batch.iter_slices(min(FRAME_ROWS, max(1, rows))) if batch.height else [batch]


def write_judged(out: DatasetWriter, judged: Iterator[pl.DataFrame], stage: str) -> None:
    """Write what a stage keeps of frames with verdicts, count the rest, and show progress."""
    for frame in track(judged, label=stage, unit=" frames"):
        out.ledger.rows_in += frame.height
        apply_judged(out, frame, stage)


def filter_frame(pages: pl.DataFrame, config: RulesConfig) -> pl.DataFrame:
    """Normalised pages with the verdicts of the rules."""
    normalised = normalise(pages)
    return with_verdicts(normalised, rule_verdicts(normalised, config))


@recipe(
    "internlm2/text/filtered",
    inputs={"pages": Input("corpora/pages")},
    partitions=CRAWL_FILES,
    resources=("rows",),
    tags={"stage": "rules"},
)
def filtered(out: DatasetWriter, config: RulesConfig, pages: Dataset, rows: RowsResource) -> None:
    """Normalised pages that break none of the rules; `audit.jsonl` beside them tells which rule each other broke."""
    judged = rows.map(partial(filter_frame, config=config), frames(pages))
    write_judged(out, judged, "rules")


def sign_frame(pages: pl.DataFrame, plan: MinHashPlan) -> pl.DataFrame:
    """Signatures with the priority by which one of several near-duplicates survives: newest dump, then newest page."""
    priority = pl.concat_str("dump", "timestamp", separator=" ", ignore_nulls=True)
    return signature_frame(pages.with_columns(priority=priority), plan, threads=1)


@recipe(
    "internlm2/text/signatures",
    inputs={"pages": Input("internlm2/text/filtered")},
    partitions=CRAWL_FILES,
    resources=("rows",),
    tags={"stage": "dedup"},
)
def signatures(out: DatasetWriter, config: SignaturesConfig, pages: Dataset, rows: RowsResource) -> None:
    """The MinHash signature of every page."""
    plan = MinHashPlan(n_hashes=config.n_hashes, ngram=config.ngram, bands=1, seed=config.seed)
    for signed in rows.map(partial(sign_frame, plan=plan), frames(pages, "id", "text", "dump", "timestamp")):
        out.ledger.rows_in += signed.height
        out.write(signed)
    out.describe(plan=asdict(plan))


def common_plan(signatures: Mapping[str, Dataset], config: DedupConfig) -> MinHashPlan:
    """The plan by which all crawl files were signed, with the bands and threshold of the configuration."""
    plans = {canonical(dataset.manifest.metadata["plan"]): dataset for dataset in signatures.values()}
    if len(plans) > 1:
        raise InputError(
            f"crawl files were signed by {len(plans)} different plans",
            "materialize all partitions of internlm2/text/signatures with one configuration",
        )
    signed: dict[str, Any] = next(iter(plans.values())).manifest.metadata["plan"] if plans else {}
    return replace(MinHashPlan(**signed), bands=config.bands, threshold=config.threshold)


@recipe(
    "internlm2/text/duplicates",
    inputs={"signatures": Input("internlm2/text/signatures", all_partitions=True, among=CRAWL_FILES)},
    tags={"stage": "dedup"},
    automation=CHEAP,
)
def duplicates(out: DatasetWriter, config: DedupConfig, signatures: dict[str, Dataset]) -> None:
    """Of which page each page is a near-duplicate, over all crawl files; a part for each file.

    One page of a group survives: of the newest dump, then the newest, then of the smallest id.
    """
    names = sorted(signatures)
    parts = [SignaturePart(name, signatures[name].shard_paths()) for name in names]
    found = find_duplicates(parts, common_plan(signatures, config), out.work / "signatures")
    for name, judged in zip(names, found, strict=True):
        out.ledger.rows_in += judged.height
        out.write(judged, part=name)


@recipe(
    "internlm2/text/deduplicated",
    inputs={
        "pages": Input("internlm2/text/filtered"),
        "duplicates": Input("internlm2/text/duplicates", part=OWN_PARTITION),
    },
    partitions=CRAWL_FILES,
    tags={"stage": "dedup"},
)
def deduplicated(out: DatasetWriter, pages: Dataset, duplicates: Dataset) -> None:
    """Pages without a near-duplicate that is preferred to them; built again when that changes in their own file."""
    verdicts = duplicates.read().select(
        "id",
        reason=pl.when(pl.col("dup_of") != "").then(pl.lit("near_duplicate")).otherwise(pl.lit("")),
        score=pl.when(pl.col("dup_of") != "").then(pl.col("similarity")),
        threshold=pl.lit(None, dtype=pl.Float64),
        dup_of="dup_of",
    )
    if not verdicts["id"].equals(pages.read("id")["id"]):
        raise AthanorError(
            "internlm2/text/duplicates is of other pages than this crawl file has now",
            "materialize internlm2/text/signatures of this file, then internlm2/text/duplicates, and this again",
        )
    done = 0
    for batch in pages.batches():
        out.ledger.rows_in += batch.height
        apply_verdicts(out, batch, verdicts.slice(done, batch.height), "dedup")
        done += batch.height


def blocked_files(config: SafetyConfig) -> Mapping[str, Any]:
    """The user's lists of blocked domains and words by digest."""
    return {path: digests(path) for path in (config.blocked_domains, config.blocked_words) if path}


def safety_frame(
    pages: pl.DataFrame, config: SafetyConfig, classifiers: Mapping[str, Classifier], blocked: Blocklists
) -> pl.DataFrame:
    return with_verdicts(pages, safety_verdicts(pages, config, classifiers, blocked))


@recipe(
    "internlm2/text/safe",
    inputs={
        "pages": Input("internlm2/text/deduplicated"),
        "toxicity": Input("internlm2/text/classifier/toxicity"),
        "pornography": Input("internlm2/text/classifier/pornography"),
        "crawl": Input("worlds/web_crawl"),
    },
    partitions=CRAWL_FILES,
    external=blocked_files,
    resources=("rows",),
    tags={"stage": "safety"},
)
def safe(
    out: DatasetWriter,
    config: SafetyConfig,
    pages: Dataset,
    toxicity: Dataset,
    pornography: Dataset,
    crawl: Dataset,
    rows: RowsResource,
) -> None:
    """Pages of no blocked domain, with no more than so many blocked words, neither toxic nor pornographic."""
    hosts = {host for batch in pages.batches("url") for host in hosts_of(batch["url"]).drop_nulls().unique()}
    blocked = read_blocklists(
        config.blocked_domains or str(crawl.file("blocked_domains.txt")),
        config.blocked_words or str(crawl.file("blocked_words.txt")),
        hosts,
    )
    classifiers = {"toxicity": Classifier.load(toxicity.folder), "pornography": Classifier.load(pornography.folder)}
    judge = partial(safety_frame, config=config, classifiers=classifiers, blocked=blocked)
    write_judged(out, rows.map(judge, frames(pages)), "safety")
    out.describe(blocked_domains_met=len(blocked.domains), blocked_words=len(blocked.words))


def quality_frame(pages: pl.DataFrame, config: QualityConfig, classifiers: Mapping[str, Classifier]) -> pl.DataFrame:
    return with_verdicts(pages, quality_verdicts(pages, config, classifiers))


@recipe(
    "internlm2/text/clean",
    inputs={
        "pages": Input("internlm2/text/safe"),
        "advert": Input("internlm2/text/classifier/advert"),
        "fluency": Input("internlm2/text/classifier/fluency"),
    },
    partitions=CRAWL_FILES,
    resources=("rows",),
    tags={"stage": "quality"},
)
def clean(
    out: DatasetWriter, config: QualityConfig, pages: Dataset, advert: Dataset, fluency: Dataset, rows: RowsResource
) -> None:
    """Pages that are neither adverts nor without fluency."""
    classifiers = {"advert": Classifier.load(advert.folder), "fluency": Classifier.load(fluency.folder)}
    judge = partial(quality_frame, config=config, classifiers=classifiers)
    write_judged(out, rows.map(judge, frames(pages)), "quality")


@recipe(
    "internlm2/text/tokens",
    inputs={"pages": Input("internlm2/text/clean"), "tokenizer": Input("internlm2/tokenizer")},
    partitions=CRAWL_FILES,
    tags={"stage": "tokenize"},
)
def tokens(out: DatasetWriter, pages: Dataset, tokenizer: Dataset) -> None:
    """The clean pages as token ids of their content, without `<s>` and `</s>`."""
    write_tokens(out, pages.batches("id", "text", "n_bytes"), load_tokenizer(tokenizer.folder))


def model_files(config: ClassifierConfig) -> Mapping[str, Any]:
    """The digest of the user's model, so that other weights under the same path make another classifier."""
    return {"model": digest_folder(Path(config.model))} if config.model else {}


def classifier(out: DatasetWriter, config: ClassifierConfig, labelled: Dataset, key: str) -> None:
    """A classifier of pages, trained on the labelled ones and measured on those of the test."""
    task = key.rsplit("/", 1)[-1]
    pages = labelled.read().filter(pl.col("task") == task)
    training, test = pages.filter(pl.col("split") == "train"), pages.filter(pl.col("split") == "test")
    trained = train_classifier(training["text"].to_list(), training["label"].to_list(), config)
    trained.save(out.folder)
    scores, labels = trained.scores(test["text"].to_list()), test["label"].to_numpy()
    out.write(test.select("id", "label", score=pl.Series(scores, dtype=pl.Float64)))
    quality = evaluate(labels, scores, config.threshold)
    out.check("better_than_chance", quality.better_than_chance, **asdict(quality), texts=test.height)
    out.describe(training_texts=training.height, model=config.model or "hashed n-grams", **asdict(quality))
    out.plot("scores", plots.plot_scores(labels, scores, config.threshold, f"{task}: AUC {quality.auc:.3f}"))


CLASSIFIERS = [
    recipe(
        f"internlm2/text/classifier/{task}",
        inputs={"labelled": Input("worlds/labelled_pages")},
        kind="checkpoint",
        ledger=False,
        external=model_files,
        checks=("better_than_chance",),
        kinds={"scikitlearn"},
        tags={"stage": "classifier"},
    )(classifier)
    for task in TASKS
]
# What each bar of the funnel is the ledger of.
STAGES = {
    "pages": "corpora/pages",
    "rules": "internlm2/text/filtered",
    "dedup": "internlm2/text/deduplicated",
    "safety": "internlm2/text/safe",
    "quality": "internlm2/text/clean",
}


def document_of(page: Mapping[str, str]) -> Document:
    """A page as a document of the corpora: its domain is the package, its URL the module."""
    made = document("prose", page["domain"], page["url"], page["title"], page["text"], place=(page["id"],))
    return replace(made, parents=[page["id"]])


@recipe(
    "internlm2/text/documents",
    inputs={name: Input(key, all_partitions=True, among=CRAWL_FILES) for name, key in STAGES.items()},
    checks=("funnel_adds_up",),
    tags={"stage": "documents"},
    automation=CHEAP,
)
def documents(out: DatasetWriter, **stages: dict[str, Dataset]) -> None:
    """The clean pages of all crawl files under the schema of the corpora, and the funnel that led to them."""
    for _, pages in sorted(stages["quality"].items()):
        for batch in frames(pages, "id", "domain", "url", "title", "text"):
            out.ledger.rows_in += batch.height
            out.write(documents_frame(document_of(page) for page in batch.iter_rows(named=True)))
    if not out.columns:
        out.write(documents_frame([]))
    found = funnel({name: [each.manifest.ledger or {} for each in stages[name].values()] for name in STAGES})
    out.check("funnel_adds_up", not leaks(found), leaks=leaks(found))
    out.describe(funnel=table(found))
    out.plot("funnel", plots.plot_funnel(found))


documents_hold_no_evaluation_text = no_evaluation_text(TextSource("internlm2/text/documents", ("text",)))
