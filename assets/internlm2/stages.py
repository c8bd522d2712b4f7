"""What becomes of pages whose defects are known, with all stages on and with one of them off. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from assets.core.dedup import MinHashPlan
from assets.internlm2.text.funnel import Stage

# From pages to verdicts (core/audit), one row a page in the same order.
Judge = Callable[[pl.DataFrame], pl.DataFrame]
FORMAT = "format"
STAGES = ("rules", "dedup", "safety", "quality")
# A row for each page and stage. `should_drop`: the stage is the one that should remove the page. `reached`, `dropped`:
# whether the page came to the stage with all stages on, and whether the stage removed it, for `reason`. `score` is 1
# where the page's fate is right in the end, removed or kept, and `score_without` the same with the stage off; of the
# stage `format` they are the agreement of extracted text and truth, and of all text in the HTML and truth. `expected`
# is the chance that a pair of near-duplicates is found, on the row of its older page. `newest`: of its group.
STAGE_SCORES = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "seed": pl.Int64(),
        "item_id": pl.String(),
        "stage": pl.String(),
        "defect": pl.String(),
        "unseen": pl.Boolean(),
        "original": pl.String(),
        "jaccard": pl.Float64(),
        "newest": pl.Boolean(),
        "should_drop": pl.Boolean(),
        "reached": pl.Boolean(),
        "dropped": pl.Boolean(),
        "reason": pl.String(),
        "score": pl.Float64(),
        "score_without": pl.Float64(),
        "expected": pl.Float64(),
    }
)


def detection_probability(jaccard: float, plan: MinHashPlan) -> float:
    """The chance that two texts of this similarity are candidates and are confirmed by their signatures.

    Each of the hash functions agrees with probability `jaccard`, independently. A pair is found when all functions of a
    band agree and at least `least_agreement` functions agree in all: the S-curve `1 - (1 - s^r)^b` less the candidates
    whose estimate is too low. Counted exactly, by the distribution of the number that agree while no band is whole.
    """
    rows = plan.rows
    every = np.array([1.0])
    broken = np.array([1.0])
    one = np.array([_binomial(rows, agreeing, jaccard) for agreeing in range(rows + 1)])
    for _ in range(plan.bands):
        every = np.convolve(every, one)
        broken = np.convolve(broken, np.append(one[:-1], 0.0))
    return float((every - broken)[plan.least_agreement :].sum())


def _binomial(n: int, k: int, p: float) -> float:
    from math import comb

    return comb(n, k) * p**k * (1 - p) ** (n - k)


def fixed(verdicts: pl.DataFrame) -> Judge:
    """A judge that gives each page the verdict it was given before: of a stage that looks at one page at a time."""
    return lambda pages: pages.select("id").join(verdicts, on="id", how="left", maintain_order="left")


def fates(pages: pl.DataFrame, judges: Mapping[str, Judge], off: str = "") -> tuple[pl.DataFrame, list[Stage]]:
    """Which stage removed each page (id, dropped_by, reason; both "" where it is kept), and the funnel; without `off`.

    Raises ValueError when a judge's verdicts are of other pages.
    """
    found, stages, rows = [], [], pages
    for stage in STAGES:
        if stage == off:
            continue
        verdicts = judges[stage](rows)
        if not verdicts["id"].equals(rows["id"]):
            raise ValueError(f"the verdicts of the stage {stage!r} are not of these pages in this order")
        kept = verdicts["reason"] == ""
        dropped = verdicts.filter(~kept).select("id", "reason", dropped_by=pl.lit(stage))
        counts = dict(dropped.group_by("reason").len().sort("reason").iter_rows())
        stages.append(Stage(stage, rows.height, int(kept.sum()), counts))
        found.append(dropped)
        rows = rows.filter(kept)
    fate = pages.select("id").join(pl.concat(found), on="id", how="left", maintain_order="left")
    return fate.with_columns(pl.col("dropped_by", "reason").fill_null("")), stages


def score_stages(
    pages: pl.DataFrame, judges: Mapping[str, Judge], plan: MinHashPlan, seed: int
) -> tuple[pl.DataFrame, list[Stage]]:
    """Rows of STAGE_SCORES but for `id`, of all stages after extraction, and the funnel with all stages on.

    `pages` are rows of `worlds/web_pages`.
    """
    full, funnel = fates(pages, judges)
    truth = pages.select(
        pl.lit(seed, dtype=pl.Int64).alias("seed"), "defect", "unseen", "original", "jaccard", "dump",
        item_id="id", own_stage="stage", newest=pl.col("dump") == pl.col("dump").max().over("original"),
    ).with_columns(fate=full["dropped_by"], reason=full["reason"])  # fmt: skip
    truth = truth.with_columns(
        newest=pl.col("newest") & pl.col("original").is_not_null(), bad=pl.col("own_stage") != ""
    )
    chances = {level: detection_probability(level, plan) for level in truth["jaccard"].drop_nulls().unique()}
    rows = []
    for place, stage in enumerate(STAGES):
        without, _ = fates(pages, judges, off=stage)
        reached = pl.col("fate").is_in(["", *STAGES[place:]])
        dropped = pl.col("fate") == stage
        pair = (pl.lit(stage) == "dedup") & pl.col("original").is_not_null() & ~pl.col("newest")
        rows.append(
            truth.with_columns(without=without["dropped_by"]).with_columns(
                stage=pl.lit(stage),
                should_drop=pl.col("own_stage") == stage,
                reached=reached,
                dropped=dropped,
                reason=pl.when(dropped).then("reason").otherwise(pl.lit("")),
                score=((pl.col("fate") != "") == pl.col("bad")).cast(pl.Float64),
                score_without=((pl.col("without") != "") == pl.col("bad")).cast(pl.Float64),
                expected=pl.when(pair).then(pl.col("jaccard").replace_strict(chances, return_dtype=pl.Float64)),
            )
        )
    names = [name for name in STAGE_SCORES if name not in ("id", "parents")]
    return pl.concat(rows).select(names), funnel


def agreement(found: str, truth: str) -> float:
    """F1 of the words of two texts, as multisets: 1 where both have the same words equally often."""
    some, all_of = (Counter(re.findall(r"\w+", text.lower())) for text in (found, truth))
    shared = (some & all_of).total()
    return 2 * shared / (some.total() + all_of.total()) if shared else 0.0


def score_extraction(pages: pl.DataFrame, extracted: list[str], everything: list[str], seed: int) -> pl.DataFrame:
    """Rows of STAGE_SCORES but for `id`, of the stage `format`: main text, and all text of the HTML, against truth."""
    pairs = list(zip(pages["text"], extracted, everything, strict=True))
    return pages.select(
        pl.lit(seed, dtype=pl.Int64).alias("seed"), "defect", "unseen", "original", "jaccard",
        item_id="id", stage=pl.lit(FORMAT), newest=pl.lit(value=False), should_drop=pl.lit(value=False),
        reached=pl.lit(value=True), dropped=pl.Series([not text for _, text, _ in pairs], dtype=pl.Boolean),
        reason=pl.lit(""), expected=pl.lit(None, dtype=pl.Float64),
        score=pl.Series([agreement(text, truth) for truth, text, _ in pairs], dtype=pl.Float64),
        score_without=pl.Series([agreement(text, truth) for truth, _, text in pairs], dtype=pl.Float64),
    ).select([name for name in STAGE_SCORES if name not in ("id", "parents")])  # fmt: skip
