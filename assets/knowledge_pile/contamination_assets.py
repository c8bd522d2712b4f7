"""Asset that says which evaluation texts the pile repeats."""

from __future__ import annotations

import polars as pl

from assets.core.decontamination.check import BLOCKING_KINDS
from assets.core.decontamination.index import EvaluationIndex, Rules, overlaps
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.problems import EVALUATION
from assets.core.recipe import Input, recipe
from assets.knowledge_pile.config import ContaminationConfig
from assets.knowledge_pile.pool_assets import HELDOUT

OVERLAPS = ("id", "parents", "doc_id", "evaluation_set", "evaluation_id", "kind", "evidence")


@recipe(
    "knowledge_pile/contamination",
    inputs={
        "pile": Input("knowledge_pile/pile"),
        "heldout": HELDOUT,
        "problems": Input("corpora/problems", all_partitions=True),
    },
    ledger=False,
    checks=("no_heldout_text_in_pile",),
    tags={"stage": "decontaminate"},
)
def contamination(
    out: DatasetWriter, config: ContaminationConfig, pile: Dataset, heldout: Dataset, problems: dict[str, Dataset]
) -> None:
    """Overlaps of the pile with held-out passages (there must be none) and with the problems of evaluations."""
    texts = [heldout.read("id", "text").select(_named("heldout"), evaluation_id="id", text="text")]
    for dataset in problems.values():
        evaluated = dataset.scan().filter(pl.col("split").is_in(list(EVALUATION))).select("id", "question").collect()
        texts.append(evaluated.select(_named("problems"), evaluation_id="id", text="question"))
    known = pl.concat(texts)
    index = EvaluationIndex.build(known, Rules(n_words=config.n_words))
    found = []
    for batch in pile.batches("doc_id", "text"):
        shared = overlaps(batch.select("text", id="doc_id"), index)
        names = [content_id("overlap", *row) for row in shared.select(pl.exclude("evidence")).iter_rows()]
        rows = shared.rename({"id": "doc_id"}).with_columns(
            pl.Series("id", names, dtype=pl.String), parents=pl.concat_list("doc_id", "evaluation_id")
        )
        out.write(rows.select(OVERLAPS))
        found.append(rows.select("doc_id", "evaluation_set", "kind"))
    every = pl.concat(found)
    # Equal formulas are counted, but ranges of pages look like them.
    leaked = every.filter((pl.col("evaluation_set") == "heldout") & pl.col("kind").is_in(BLOCKING_KINDS))
    out.check("no_heldout_text_in_pile", not leaked.height, overlaps=leaked.height)
    sizes = dict(known["evaluation_set"].value_counts().iter_rows())
    out.describe(
        n_words=config.n_words,
        passages={name: every.filter(pl.col("evaluation_set") == name)["doc_id"].n_unique() for name in sizes},
        evaluation_texts=sizes,
    )  # fmt: skip


def _named(evaluation_set: str) -> pl.Expr:
    return pl.lit(evaluation_set).alias("evaluation_set")
