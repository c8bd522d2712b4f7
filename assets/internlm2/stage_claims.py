"""Claim I1: each stage of the text pipeline removes what it should (specification: claims in the small)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.claims.claim import Claim
from assets.core.statistics import Verdict, paired_bootstrap, verdict, wilson_interval
from assets.internlm2.stages import FORMAT, STAGES

Floats = NDArray[np.float64]
MIN_SEEDS = 3
# Set before any data were seen: planned similarities lie .1 apart, and the chances to be found .3 and more.
CURVE_MARGIN = 0.1
SYSTEM = "internlm2"
SAME_PAGES = "pages, other stages"


def stage_claims(rows: pl.DataFrame) -> Iterator[Claim]:
    """Every claim for which there are rows of STAGE_SCORES, of all seeds."""
    if rows.is_empty():
        return
    rows = rows.with_columns(bad=pl.col("should_drop").any().over("seed", "item_id"))
    yield _paired(rows.filter(pl.col("stage") == FORMAT), FORMAT, "I1 extraction finds the text", "word_f1",
                  "main text", "all text of the HTML")  # fmt: skip
    for stage in STAGES:
        own = rows.filter((pl.col("stage") == stage) & pl.col("should_drop"))
        yield _paired(own, stage, f"I1 {stage} removes its defects", "share_of_its_defects_removed", "on", "off")
        if stage in ("safety", "quality"):
            yield _paired(own.filter("unseen"), stage, f"I1 {stage} removes its defects in unseen sentences",
                          "share_of_its_defects_removed", "on", "off")  # fmt: skip
        yield _precision(rows.filter(pl.col("stage") == stage), stage)
    groups = duplicate_groups(rows)
    for (planned,), pairs in groups.filter("is_pair").group_by(["planned"], maintain_order=True):
        yield _on_curve(float(planned), pairs)  # type: ignore[arg-type]
    yield _newest(groups.filter("linked"))


def duplicate_groups(rows: pl.DataFrame) -> pl.DataFrame:
    """Groups of duplicates of which every page came to deduplication, by planned similarity.

    `linked`: a page of the group was removed; `newest_kept`: its newest page was not, and all others were.
    """
    in_groups = rows.filter((pl.col("stage") == "dedup") & pl.col("original").is_not_null())
    return (
        in_groups.group_by("seed", "original")
        .agg(
            planned=pl.col("jaccard").first().round(1),
            is_pair=(pl.col("defect").first() == "near_duplicate"),
            size=pl.len(),
            reached=pl.col("reached").all(),
            linked=pl.col("dropped").any(),
            newest_kept=(pl.col("dropped") != pl.col("newest")).all(),
            expected=pl.col("expected").max(),
        )
        .filter("reached")
        .sort("planned", "seed", "original")
    )


def _by_seed(rows: pl.DataFrame, item: str, *columns: str) -> Iterator[Floats]:
    """Each column as `[seeds, items]`. Items differ from seed to seed: the n-th of each is item n, and those beyond the
    smallest seed's number are left out."""
    by_seed = [found.sort(item) for _, found in rows.group_by("seed", maintain_order=True)]
    n_items = min(found.height for found in by_seed)
    return (np.stack([found[name].head(n_items).to_numpy() for found in by_seed]) for name in columns)


def _paired(rows: pl.DataFrame, stage: str, claim: str, metric: str, treatment: str, baseline: str) -> Claim:
    """Right fates with the stage on against off."""
    found = paired_bootstrap(*_by_seed(rows, "item_id", "score", "score_without"))
    return Claim(
        system=SYSTEM, claim=claim, metric=metric, baseline=f"{stage}: {baseline}", treatment=f"{stage}: {treatment}",
        difference=found.difference, low=found.low, high=found.high, n_seeds=found.n_seeds, n_items=found.n_items,
        held_equal=SAME_PAGES, verdict=_sign(found.low, found.high, found.n_seeds),
        note=_note(found.n_seeds, f"{found.treatment:.3f} against {found.baseline:.3f}"),
    )  # fmt: skip


def _precision(rows: pl.DataFrame, stage: str) -> Claim:
    """Of the pages that a stage removes, the share that some stage should, against all pages that came to it."""
    reached = rows.filter("reached")
    dropped = reached.filter("dropped")
    base, right = _share(reached["bad"]), int(dropped["bad"].sum())
    low, high = (bound - base for bound in wilson_interval(right, dropped.height))
    n_seeds = rows["seed"].n_unique()
    clean = reached.filter(pl.col("defect") == "")
    return Claim(
        system=SYSTEM, claim=f"I1 {stage} removes little else", metric="precision", baseline="all pages that it met",
        treatment=f"{stage}: removed pages", difference=_share(dropped["bad"]) - base, low=low, high=high,
        n_seeds=n_seeds, n_items=dropped.height, held_equal="pages", verdict=_sign(low, high, n_seeds),
        note=_note(n_seeds, f"{_share(dropped['bad']):.3f} against {base:.3f}; of clean pages "
                   f"{_share(clean['dropped']):.4f} are removed"),
    )  # fmt: skip


def _on_curve(planned: float, pairs: pl.DataFrame) -> Claim:
    """Found pairs against the chance that banding and confirmation give each. Pairs of a seed share its hash functions,
    so seeds vary too."""
    linked = pairs.with_columns(pl.col("linked").cast(pl.Float64))
    found = paired_bootstrap(*_by_seed(linked, "original", "linked", "expected"))
    within: Verdict = "inconclusive"
    if found.n_seeds >= MIN_SEEDS and (found.low > CURVE_MARGIN or found.high < -CURVE_MARGIN):
        within = "not_reproduced"
    elif found.n_seeds >= MIN_SEEDS and found.low > -CURVE_MARGIN and found.high < CURVE_MARGIN:
        within = "reproduced"
    return Claim(
        system=SYSTEM, claim="I1 deduplication follows its S-curve", metric="share_of_pairs_found",
        baseline="expected of bands and confirmation", treatment=f"pairs of similarity {planned}",
        difference=found.difference, low=found.low, high=found.high, n_seeds=found.n_seeds, n_items=found.n_items,
        held_equal="pairs", verdict=within,
        note=_note(found.n_seeds, f"{found.treatment:.3f} against {found.baseline:.3f}; margin {CURVE_MARGIN}"),
    )  # fmt: skip


def _newest(groups: pl.DataFrame) -> Claim:
    """Of the groups that were found, in how many the newest dump alone survives; by chance it is one of the pages."""
    chance, kept = _share(1 / groups["size"]), int(groups["newest_kept"].sum())
    low, high = (bound - chance for bound in wilson_interval(kept, groups.height))
    n_seeds = groups["seed"].n_unique()
    told: Verdict = "reproduced" if kept == groups.height else "not_reproduced"
    return Claim(
        system=SYSTEM, claim="I1 the newest dump survives", metric="share_of_groups", baseline="any page of the group",
        treatment="deduplication", difference=_share(groups["newest_kept"]) - chance, low=low, high=high,
        n_seeds=n_seeds, n_items=groups.height, held_equal="groups",
        verdict=told if n_seeds >= MIN_SEEDS else "inconclusive",
        note=_note(n_seeds, f"{kept} of {groups.height} groups, and all are claimed"),
    )  # fmt: skip


def _share(values: pl.Series) -> float:
    return float(values.cast(pl.Float64).sum()) / max(1, len(values))


def _sign(low: float, high: float, n_seeds: int) -> Verdict:
    return verdict(low, high, n_seeds=n_seeds, min_seeds=MIN_SEEDS, direction="higher")


def _note(n_seeds: int, values: str) -> str:
    return f"{n_seeds} of at least {MIN_SEEDS} seeds; {values}" if n_seeds < MIN_SEEDS else values
