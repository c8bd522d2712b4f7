"""The claims of Knowledge Pile as an asset."""

from __future__ import annotations

import polars as pl

from assets.claims.claim import claims_frame, markdown_table
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import CHEAP, Input, recipe
from assets.knowledge_pile import plots
from assets.knowledge_pile.arms import ARMS
from assets.knowledge_pile.assets import QUERIES
from assets.knowledge_pile.claims import measure_claims
from assets.knowledge_pile.measure import retrieval_measures
from assets.knowledge_pile.pool_assets import POOL
from assets.knowledge_pile.training_assets import TOKENS

ROWS = {
    f"{stage}_{arm}": Input(f"knowledge_pile/{stage}/{arm}", all_partitions=True)
    for stage in ("scores", "selection")
    for arm in ARMS
}


@recipe(
    "claims/knowledge_pile",
    inputs={"pool": POOL, "tokens": TOKENS, "queries": QUERIES, **ROWS},
    ledger=False,
    checks=("equal_tokens",),
    tags={"stage": "claims"},
    automation=CHEAP,
)
def knowledge_pile_claims(
    out: DatasetWriter, pool: Dataset, tokens: Dataset, queries: Dataset, **rows: dict[str, Dataset]
) -> None:
    """The claims in the small, lower perplexity on domain text among them: differences, intervals, verdicts."""
    labels = pool.read("id", "module", "in_domain").join(tokens.read("id", "n_tokens"), on="id", validate="1:1")
    scores, selections = _by_arm("scores", rows), _by_arm("selection", rows)
    found = claims_frame(list(measure_claims(scores, selections, labels)))
    out.write(found)
    budgets = {
        arm: sorted(frame.group_by("seed").agg(pl.col("n_tokens").sum())["n_tokens"].unique())
        for arm, frame in selections.items()
    }
    out.check("equal_tokens", len({n for each in budgets.values() for n in each}) <= 1, tokens=budgets)
    out.describe(
        table=markdown_table(found), verdicts=dict(found["verdict"].value_counts().iter_rows()),
        queries_by=queries.manifest.metadata["writer"], size=queries.manifest.metadata["size"],
    )  # fmt: skip
    shares = {
        arm: [
            retrieval_measures(of_seed, labels)["domain_share"]
            for _, of_seed in frame.group_by("seed", maintain_order=True)
        ]
        for arm, frame in selections.items()
    }
    of_domain, of_pool = (int(part["n_tokens"].sum()) for part in (labels.filter("in_domain"), labels))
    out.plot("domain_share", plots.plot_domain_share(shares, of_domain / of_pool))


def _by_arm(stage: str, rows: dict[str, dict[str, Dataset]]) -> dict[str, pl.DataFrame]:
    """The rows of each arm that has any, seeds together."""
    return {
        arm: pl.concat([dataset.read() for _, dataset in sorted(found.items())])
        for arm in ARMS
        if (found := rows[f"{stage}_{arm}"])
    }
