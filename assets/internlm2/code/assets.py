"""Assets of the code pipeline: files, deduplicated, scored, and whole repositories in the order of their imports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from assets.core.audit import VERDICTS, apply_verdicts
from assets.core.dedup import MinHashPlan, SignaturePart, find_duplicates, signature_frame
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import CHEAP, Input, recipe
from assets.core.rows import RowsResource
from assets.internlm2.code.classes import agreement, assign_classes, class_shares
from assets.internlm2.code.config import DeduplicateConfig, FilesConfig, LabelsConfig, RepositoriesConfig, ScoreConfig
from assets.internlm2.code.labels import label_files, read_labels
from assets.internlm2.code.read import Place, folder_places, inventory, library_places, read_files
from assets.internlm2.code.repositories import by_repository, repository_row
from assets.internlm2.code.rules import rule_scores
from assets.internlm2.code.schema import REPOSITORY_SCHEMA, LeftOut, SourceFile, files_frame
from assets.internlm2.code.scorer import ModelScorer, train_scorer

BATCH_BYTES = 16 * 1024**2
DROPPED = frozenset({"unknown_type", "too_large", "empty"})


def places(config: FilesConfig) -> Iterator[Place]:
    """The user's repositories where a folder is given, else the packages of the standard library."""
    return folder_places(Path(config.folder)) if config.folder else library_places(config.min_package_files)


def repository_files(config: FilesConfig) -> Mapping[str, Any]:
    """Number, size and digest of the files."""
    return inventory(places(config))


@recipe("internlm2/code/files", external=repository_files, tags={"stage": "input"})
def files(out: DatasetWriter, config: FilesConfig) -> None:
    """The files of all repositories, documentation as markdown."""
    batch: list[SourceFile] = []
    size = 0
    for file in track(read_files(places(config), config.max_bytes), label="repositories", unit=" files"):
        out.ledger.rows_in += 1
        if isinstance(file, LeftOut):
            if file.reason in DROPPED:
                out.ledger.drop(file.reason)
            else:
                out.dead_letter(file=file.file, line=None, reason=file.reason, detail=file.detail)
            continue
        batch.append(file)
        size += file.n_bytes
        if size >= BATCH_BYTES:
            out.write(files_frame(batch))
            batch, size = [], 0
    out.write(files_frame(batch))


@recipe(
    "internlm2/code/deduplicated",
    inputs={"files": Input("internlm2/code/files")},
    tags={"stage": "deduplicate"},
    automation=CHEAP,
)
def deduplicated(out: DatasetWriter, config: DeduplicateConfig, files: Dataset) -> None:
    """Files without near-duplicates by MinHash over tokens of code, to which indentation makes no difference."""
    plan = MinHashPlan(config.n_hashes, config.ngram, config.bands, config.threshold, tokens="code")
    parts = []
    out.work.mkdir(parents=True, exist_ok=True)
    for number, batch in enumerate(files.batches("id", "text")):
        path = out.work / f"signatures-{number:05d}.parquet"
        signature_frame(batch, plan).write_parquet(path)
        parts.append(SignaturePart(path.name, [path]))
    for batch, found in zip(files.batches(), find_duplicates(parts, plan, out.work), strict=True):
        reason = pl.when(pl.col("dup_of") == "").then(pl.lit("")).otherwise(pl.lit("near_duplicate"))
        verdicts = found.select(
            "id", reason=reason, score="similarity", threshold=pl.lit(config.threshold), dup_of="dup_of"
        )
        out.ledger.rows_in += batch.height
        apply_verdicts(out, batch, verdicts.cast(dict(VERDICTS)), "deduplicate")  # type: ignore[arg-type]


def labelled_files(config: LabelsConfig) -> Mapping[str, Any]:
    """Names and digests of the user's labels."""
    return label_files(config.path)


@recipe("internlm2/code/labels", external=labelled_files, tags={"stage": "input"})
def labels(out: DatasetWriter, config: LabelsConfig) -> None:
    """Files that people called high, moderate or low; empty unless a path is given."""
    read_labels(out, config.path, config.heldout_share)


@recipe(
    "internlm2/code/scored",
    inputs={"files": Input("internlm2/code/deduplicated"), "labels": Input("internlm2/code/labels")},
    resources=("rows",),
    tags={"stage": "quality"},
    kinds={"scikitlearn"},
)
def scored(out: DatasetWriter, config: ScoreConfig, files: Dataset, labels: Dataset, rows: RowsResource) -> None:
    """Files of class high and moderate, scored by rules, and by a model in languages where it agrees with people."""
    model = train_scorer(labels.read()) if labels.rows else None
    agreed = agreement(model.heldout, config) if model else None
    trusted = frozenset(agreed.filter("trusted")["language"]) if agreed is not None else frozenset[str]()
    scores = assign_classes(pl.concat(_scores(files, config, rows, model, trusted)), config)
    start = 0
    for batch in files.batches():
        judged = scores[start : start + batch.height]
        start += batch.height
        verdicts = judged.select("id", "reason", "score", "threshold", dup_of=pl.lit(""))
        kept = batch.hstack(judged.select("score", "quality"))
        out.ledger.rows_in += batch.height
        apply_verdicts(out, kept, verdicts.cast(dict(VERDICTS)), "quality")  # type: ignore[arg-type]
    out.describe(
        shares_of_code_bytes=class_shares(scores),
        agreement=agreed.to_dicts() if agreed is not None else [],
        scored_by_model=sorted(trusted),
    )


def _scores(
    files: Dataset, config: ScoreConfig, rows: RowsResource, model: ModelScorer | None, trusted: frozenset[str]
) -> Iterator[pl.DataFrame]:
    """What each file is judged by, without its text, shard by shard."""
    function = partial(rule_scores, config=config)
    judged = rows.map(function, files.batches("id", "language", "kind", "text"))
    for batch, ruled in zip(files.batches("id", "language", "kind", "n_bytes", "text"), judged, strict=True):
        frame = batch.drop("text").hstack(ruled.drop("id"))
        if model and trusted:
            by_model = pl.Series("by_model", model.quality(batch["text"].to_list()))
            is_judged = (pl.col("reason") == "") & (pl.col("kind") == "code") & pl.col("language").is_in(list(trusted))
            score = pl.when(is_judged).then("by_model").otherwise("score").alias("score")
            frame = frame.with_columns(by_model).with_columns(score).drop("by_model")
        yield frame


@recipe(
    "internlm2/code/repositories",
    inputs={"files": Input("internlm2/code/scored")},
    checks=("every_file_once",),
    tags={"stage": "order"},
    automation=CHEAP,
)
def repositories(out: DatasetWriter, config: RepositoriesConfig, files: Dataset) -> None:
    """Each repository as one long markdown document, what is imported before what imports it."""
    n_files = 0
    for repository in track(by_repository(files.batches()), label="repositories"):
        row = repository_row(repository, config.high_repeats)
        n_files += len(row["files_in_order"])
        out.ledger.rows_in += 1
        out.write(pl.DataFrame([row], schema=REPOSITORY_SCHEMA))
    if not out.columns:
        out.write(pl.DataFrame(schema=REPOSITORY_SCHEMA))
    out.check("every_file_once", n_files == files.rows, files=files.rows, in_repositories=n_files)
