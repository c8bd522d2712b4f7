"""The blocking check that no text of an evaluation set is in a training set.

It stands beside a training set without touching its recipe. What it finds is published as
`decontamination/overlaps/<training key>`: a pair of unchanged digests is not compared again, and the rows to remove can
be joined by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from assets.core.decontamination.index import DEFAULT, EvaluationIndex, Rules, overlaps
from assets.core.decontamination.texts import TextSource
from assets.core.errors import AthanorError
from assets.core.generation.roles import Roles
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import Input, Recipe

EVALUATION_SETS = "decontamination/evaluation_sets"
EVALUATION_TEXTS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "evaluation_set": pl.String(),
        "evaluation_id": pl.String(),
        "text": pl.String(),
    }
)
OVERLAPS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "evaluation_set": pl.String(),
        "evaluation_id": pl.String(),
        "kind": pl.String(),
        "evidence": pl.String(),
    }
)
# Equal formulas are counted, but small ones are equal by chance.
BLOCKING_KINDS = ("ngram", "whole")
CHECK = "no_evaluation_text"


class OverlapConfig(dg.Config):
    """What of a training set is compared with the evaluation sets, and how."""

    columns: list[str]
    where: dict[str, list[str]]
    n_words: int = DEFAULT.n_words
    min_tokens: int = DEFAULT.min_tokens
    min_operations: int = DEFAULT.min_operations


def find_overlaps(out: DatasetWriter, config: OverlapConfig, training: Dataset, evaluation: Dataset) -> None:
    """Every training row that repeats a text of an evaluation set; `parents` holds the row's id."""
    source = TextSource(
        training.manifest.key, tuple(config.columns), {name: tuple(values) for name, values in config.where.items()}
    )
    index = EvaluationIndex.build(
        evaluation.read("evaluation_set", "evaluation_id", "text"),
        Rules(config.n_words, config.min_tokens, config.min_operations),
    )
    out.write(pl.DataFrame(schema=OVERLAPS))
    texts = 0
    for batch in track(training.batches(*source.read_columns()), label=f"overlaps of {source.key}", unit=" shards"):
        compared = source.texts(batch)
        texts += compared.height
        found = overlaps(compared, index)
        names = [content_id("overlap", *row) for row in found.drop("evidence").iter_rows()]
        out.write(
            found.with_columns(id=pl.Series(names, dtype=pl.String), parents=pl.concat_list("id")).select(
                OVERLAPS.names()
            )
        )
    items = index.items.unique().group_by("evaluation_set").len().sort("evaluation_set")
    out.describe(training_texts=texts, evaluation_items=dict(items.iter_rows()), too_short_to_find=index.n_short)


def no_evaluation_text(
    training: TextSource, *, tolerated_share: float = 0.0, rules: Rules = DEFAULT
) -> dg.AssetChecksDefinition:
    """A blocking check of a training set against `decontamination/evaluation_sets`; of all its partitions.

    It fails when more than `tolerated_share` of the items of an evaluation set have n words in a row, or a short text,
    in common with training rows. Equal formulas are counted in the metadata. Where there are no evaluation sets yet it
    warns and blocks nothing.
    """
    config = OverlapConfig(
        columns=list(training.columns),
        where={name: list(values) for name, values in training.where.items()},
        n_words=rules.n_words,
        min_tokens=rules.min_tokens,
        min_operations=rules.min_operations,
    )
    made = Recipe(
        function=find_overlaps,
        key=f"decontamination/overlaps/{training.key}",
        inputs={"training": Input(training.key), "evaluation": Input(EVALUATION_SETS)},
        partitioned=False,
        kind="dataset",
        keeps_ledger=False,
        external=None,
        resources=(),
        checks=(),
    )

    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        lake = context.resources.lake.open()
        if lake.current(EVALUATION_SETS) is None:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"nothing to compare with: materialize {EVALUATION_SETS}",
            )
        try:
            published = [
                made.produce(lake, config, partition, {}, context.log.info, Roles(), context.run.run_id)[0]
                for partition in sorted(lake.partitions(training.key))
            ]
        except AthanorError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        return judge(training.key, published, tolerated_share)

    # Dagster looks at the annotation itself, which is a string here.
    check.__annotations__["context"] = dg.AssetCheckExecutionContext
    declare = dg.asset_check(
        asset=training.key.split("/"),
        name=CHECK,
        description=f"No {rules.n_words} words in a row, and no short text, of an evaluation set in the training rows.",
        blocking=True,
        additional_deps=[EVALUATION_SETS.split("/")],
        required_resource_keys={"lake"},
    )
    return declare(check)


def judge(training_key: str, published: Sequence[Dataset], tolerated_share: float) -> dg.AssetCheckResult:
    """Whether the overlaps of a training set's partitions block it, and what a person should know of them."""
    rows = pl.concat([pl.DataFrame(schema=OVERLAPS), *(dataset.read() for dataset in published)])
    by_kind = rows.group_by("kind", "evaluation_set").agg(pl.col("evaluation_id").n_unique())
    counts: dict[str, dict[str, int]] = {}
    for kind, name, items in by_kind.sort("kind", "evaluation_set").iter_rows():
        counts.setdefault(kind, {})[name] = items
    blocking = rows.filter(pl.col("kind").is_in(BLOCKING_KINDS))
    found = dict(blocking.group_by("evaluation_set").agg(pl.col("evaluation_id").n_unique()).iter_rows())
    totals: Mapping[str, int] = published[0].manifest.metadata["evaluation_items"] if published else {}
    shares = {name: round(items / totals[name], 4) for name, items in sorted(found.items())}
    passed = all(share <= tolerated_share for share in shares.values())
    return dg.AssetCheckResult(
        passed=passed,
        description="" if passed else _told(training_key, blocking.row(0, named=True), shares),
        metadata={
            "evaluation_items_found": dg.MetadataValue.json(counts),
            "share_of_items_found": dg.MetadataValue.json(shares),
            "evaluation_items": dg.MetadataValue.json(dict(totals)),
            "training_rows_found": blocking["parents"].list.first().n_unique(),
            "training_texts": sum(dataset.manifest.metadata["training_texts"] for dataset in published),
            "overlaps": f"decontamination/overlaps/{training_key}",
        },
    )


def _told(training_key: str, first: Mapping[str, Any], shares: Mapping[str, float]) -> str:
    found = ", ".join(f"{share:.1%} of {name}" for name, share in shares.items())
    return (
        f"{training_key} repeats {found}: row {first['parents'][0]} has in common with {first['evaluation_set']} item "
        f"{first['evaluation_id']}: “{first['evidence']}”\n"
        f"  → drop the rows that decontamination/overlaps/{training_key} names in `parents`, or take the items out of "
        f"the evaluation"
    )
