"""The claims of InternLM2's data pipelines: I1 on stages of the text pipeline, I2 on long text."""

from __future__ import annotations

import polars as pl

from assets.claims.claim import claims_frame, markdown_table
from assets.core.dedup import MinHashPlan
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import CHEAP, Input, recipe
from assets.internlm2.long.claims import long_claims
from assets.internlm2.stage_claims import duplicate_groups, stage_claims
from assets.internlm2.stage_plots import plot_curve, plot_removed
from assets.internlm2.stages import STAGE_SCORES


@recipe(
    "claims/internlm2_data",
    inputs={
        "stages": Input("internlm2/stage_scores", all_partitions=True),
        "long": Input("internlm2/long_scores", all_partitions=True),
    },
    ledger=False,
    tags={"stage": "claims"},
    automation=CHEAP,
)
def data_claims(out: DatasetWriter, stages: dict[str, Dataset], long: dict[str, Dataset]) -> None:
    """The claims of the data pipelines in the small, of the seeds that there are: differences, intervals, verdicts."""
    scores = pl.concat([pl.DataFrame(schema=STAGE_SCORES), *(dataset.read() for _, dataset in sorted(stages.items()))])
    claims = [*stage_claims(scores), *long_claims([dataset.read() for _, dataset in sorted(long.items())])]
    rows = claims_frame(claims)
    out.write(rows)
    out.describe(table=markdown_table(rows), verdicts=dict(rows["verdict"].value_counts().iter_rows()))
    if scores.is_empty():
        return
    removed = defects_removed(scores)
    out.describe(removed={stage: dict(found.select("defect", "dropped").iter_rows())
                          for (stage,), found in removed.group_by("stage", maintain_order=True)})  # fmt: skip
    out.plot("removed", plot_removed(dict(removed.select("defect", "dropped").iter_rows()), removed["stage"].to_list()))
    pairs = duplicate_groups(scores).filter("is_pair")
    out.plot("similarity", plot_curve(pairs, MinHashPlan()))


def defects_removed(scores: pl.DataFrame) -> pl.DataFrame:
    """(stage, defect, dropped): the share of each defect that came to its stage and was removed there."""
    own = scores.filter(pl.col("should_drop") & pl.col("reached"))
    return own.group_by("stage", "defect").agg(pl.col("dropped").mean().round(4)).sort("stage", "defect")
