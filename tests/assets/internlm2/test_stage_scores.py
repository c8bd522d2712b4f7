"""Claim I1: how stages are measured on pages whose defects are known, and what is claimed of it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.claims.claim import claims_frame
from assets.core.audit import VERDICTS
from assets.core.dedup import MinHashPlan, candidate_probability
from assets.core.lake import Lake
from assets.core.resources import LakeResource
from assets.core.rows import RowsResource
from assets.internlm2.data_claims import data_claims
from assets.internlm2.stage_claims import duplicate_groups, stage_claims
from assets.internlm2.stage_config import StageScoresConfig
from assets.internlm2.stage_scores import stage_scores
from assets.internlm2.stages import (
    STAGE_SCORES,
    STAGES,
    Judge,
    agreement,
    detection_probability,
    fates,
    fixed,
    score_stages,
)
from assets.internlm2.text.assets import CLASSIFIERS
from assets.internlm2.text.funnel import leaks
from assets.worlds.web_pages.assets import labelled_pages, web_pages
from assets.worlds.web_pages.config import LabelledPagesConfig, WebPagesConfig
from assets.worlds.web_pages.schema import WEB_PAGES

PLAN = MinHashPlan()


def pages_of(*rows: tuple[str, str, str, str | None, float | None, str]) -> pl.DataFrame:
    """Pages of (id, defect, stage, original, jaccard, dump); the other columns do not count here."""
    names = ("id", "defect", "stage", "original", "jaccard", "dump")
    filled = {name: [None] * len(rows) for name in WEB_PAGES if name not in names}
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return pl.DataFrame({**filled, **columns, "unseen": [False] * len(rows)}, schema_overrides=WEB_PAGES).select(
        WEB_PAGES.names()
    )


def dropping(pages: pl.DataFrame, reasons: dict[str, str]) -> Judge:
    """A stage that drops these pages for these reasons."""
    rows = [
        {"id": name, "reason": reasons.get(name, ""), "score": 1.0, "threshold": 0.5, "dup_of": ""}
        for name in pages["id"]
    ]
    return fixed(pl.DataFrame(rows, schema=VERDICTS))


PAGES = pages_of(
    ("clean", "", "", None, None, "2023-06"),
    ("short", "too_short", "rules", None, None, "2023-06"),
    ("old", "near_duplicate", "dedup", "old", 0.9, "2022-49"),
    ("new", "near_duplicate", "", "old", 0.9, "2023-14"),
    ("toxic", "toxic", "safety", None, None, "2023-06"),
    ("advert", "advert_whole", "quality", None, None, "2023-06"),
)
JUDGES = {
    "rules": dropping(PAGES, {"short": "too_few_words"}),
    "dedup": dropping(PAGES, {"old": "near_duplicate"}),
    "safety": dropping(PAGES, {"toxic": "toxicity", "advert": "toxicity"}),
    "quality": dropping(PAGES, {"advert": "advert", "short": "not_fluent"}),
}


@pytest.mark.parametrize("similarity", [0.6, 0.7, 0.8])
def test_chance_that_a_pair_is_found(similarity: float) -> None:
    """Against throws of a coin for each hash function: some band whole, and enough functions agree in all."""
    agree = np.random.default_rng(0).random((200_000, PLAN.bands, PLAN.rows)) < similarity
    candidate = agree.all(axis=2).any(axis=1)
    found = candidate & (agree.sum(axis=(1, 2)) >= PLAN.least_agreement)
    assert candidate_probability(similarity, PLAN.bands, PLAN.rows) == pytest.approx(candidate.mean(), abs=0.005)
    assert detection_probability(similarity, PLAN) == pytest.approx(found.mean(), abs=0.005)


def test_chance_at_the_ends() -> None:
    """Equal texts are found, texts apart are not, and confirmation only ever removes candidates."""
    assert detection_probability(1.0, PLAN) == pytest.approx(1.0)
    assert detection_probability(0.0, PLAN) == 0.0
    lenient = MinHashPlan(threshold=0.01)
    for similarity in (0.3, 0.5, 0.7):
        candidates = candidate_probability(similarity, 16, 8)
        assert detection_probability(similarity, lenient) == pytest.approx(candidates)
        assert detection_probability(similarity, PLAN) <= candidates


def test_fates_follow_the_order_of_the_stages() -> None:
    """The first stage that drops a page is its fate; with that stage off, a later one may be; the funnel adds up."""
    full, funnel = fates(PAGES, JUDGES)
    assert full["dropped_by"].to_list() == ["", "rules", "dedup", "", "safety", "safety"]
    assert full["reason"].to_list() == ["", "too_few_words", "near_duplicate", "", "toxicity", "toxicity"]
    assert [(stage.name, stage.rows_in, stage.kept) for stage in funnel] == [
        ("rules", 6, 5), ("dedup", 5, 4), ("safety", 4, 2), ("quality", 2, 2)
    ]  # fmt: skip
    assert not leaks(funnel)
    without, _ = fates(PAGES, JUDGES, off="rules")
    assert without["dropped_by"].to_list() == ["", "quality", "dedup", "", "safety", "safety"]


def test_verdicts_of_other_pages_are_refused() -> None:
    """A stage that hands back rows in another order must not drop the wrong ones."""
    backwards = {**JUDGES, "dedup": lambda pages: fixed(JUDGES["dedup"](PAGES))(pages.reverse())}
    with pytest.raises(ValueError, match="'dedup'"):
        fates(PAGES, backwards)


def test_rows_of_each_page_and_stage() -> None:
    """What was reached, dropped and right in the end, by hand."""
    rows, _ = score_stages(PAGES, JUDGES, PLAN, seed=3)
    assert rows.height == PAGES.height * len(STAGES)
    of = {(row["stage"], row["item_id"]): row for row in rows.iter_rows(named=True)}
    assert of["rules", "short"]["should_drop"]
    # Quality drops it when the rules do not: with rules off its fate is right all the same.
    assert (of["rules", "short"]["score"], of["rules", "short"]["score_without"]) == (1.0, 1.0)
    assert (of["dedup", "old"]["score"], of["dedup", "old"]["score_without"]) == (1.0, 0.0)
    assert not of["dedup", "short"]["reached"]
    assert not of["quality", "advert"]["reached"]
    assert (of["safety", "advert"]["dropped"], of["safety", "advert"]["reason"]) == (True, "toxicity")
    assert of["dedup", "new"]["newest"]
    assert of["dedup", "old"]["expected"] == pytest.approx(detection_probability(0.9, PLAN))
    assert of["dedup", "new"]["expected"] is None
    assert of["safety", "old"]["expected"] is None


def test_words_in_common_are_counted_as_often_as_they_occur() -> None:
    """F1 by hand: two of three and two of four words."""
    assert agreement("a b b", "b, B c d") == pytest.approx(4 / 7)
    assert agreement("", "a") == agreement("a", "") == 0.0


def rows_of(seeds: int) -> pl.DataFrame:
    """The stage rows of PAGES for several seeds, with extraction rows."""
    found = []
    for seed in range(seeds):
        rows, _ = score_stages(PAGES, JUDGES, PLAN, seed)
        extraction = rows.filter(pl.col("stage") == "rules").with_columns(
            stage=pl.lit("format"), should_drop=pl.lit(value=False), score=pl.lit(0.99), score_without=pl.lit(0.6)
        )
        found += [extraction, rows]
    # Safety and quality have a defect of unseen sentences each.
    return pl.concat(found).with_columns(
        id=pl.concat_str("seed", "stage", "item_id"), parents=pl.concat_list("item_id"),
        unseen=pl.col("defect").is_in(["toxic", "advert_whole"]),
    ).select(STAGE_SCORES.names())  # fmt: skip


def claims_by_name(rows: pl.DataFrame) -> dict[tuple[str, str], dict[str, object]]:
    claims = claims_frame(list(stage_claims(rows)))
    return {(row["claim"], row["treatment"]): row for row in claims.iter_rows(named=True)}


def test_claims_of_stages_that_do_what_they_should() -> None:
    """Removed with the stage on and kept with it off; all removed pages are bad; the newest page stays."""
    claims = claims_by_name(rows_of(3))
    dedup = claims["I1 dedup removes its defects", "dedup: on"]
    assert (dedup["difference"], dedup["verdict"]) == (1.0, "reproduced")
    assert claims["I1 extraction finds the text", "format: main text"]["difference"] == pytest.approx(0.39)
    assert claims["I1 rules removes its defects", "rules: on"]["difference"] == 0.0
    precision = claims["I1 safety removes little else", "safety: removed pages"]
    assert precision["difference"] == pytest.approx(1 - 2 / 4)
    assert "of clean pages 0.0000" in str(precision["note"])
    assert claims["I1 the newest dump survives", "deduplication"]["verdict"] == "reproduced"


def test_too_few_seeds_are_inconclusive() -> None:
    """And the note says how many there are."""
    for claim in claims_by_name(rows_of(2)).values():
        assert claim["verdict"] == "inconclusive"
        assert "2 of at least 3 seeds" in str(claim["note"])
    assert list(stage_claims(pl.DataFrame(schema=STAGE_SCORES))) == []


def test_a_newest_page_that_is_lost_is_told() -> None:
    """One group of many in which the older page survives, and the claim is not reproduced."""
    rows = rows_of(3)
    swapped = rows.with_columns(
        newest=pl.when((pl.col("seed") == 1) & (pl.col("stage") == "dedup") & pl.col("original").is_not_null())
        .then(~pl.col("newest"))
        .otherwise("newest")
    )
    assert claims_by_name(swapped)["I1 the newest dump survives", "deduplication"]["verdict"] == "not_reproduced"


@pytest.mark.parametrize(("found", "told"), [(0.95, "reproduced"), (0.5, "not_reproduced")])
def test_pairs_are_held_against_their_curve(found: float, told: str) -> None:
    """100 pairs of similarity .8 for each of three seeds, of which 95 % should be found."""
    n, expected = 100, detection_probability(0.801, PLAN)
    rows = [
        {
            "id": f"{seed} {pair} {newest}", "parents": [], "seed": seed, "item_id": f"{pair} {newest}",
            "stage": "dedup", "defect": "near_duplicate", "unseen": False, "original": f"{seed} {pair}",
            "jaccard": 0.801, "newest": newest, "should_drop": not newest, "reached": True,
            "dropped": not newest and pair < found * n, "reason": "", "score": 1.0, "score_without": 0.0,
            "expected": None if newest else expected,
        }
        for seed in range(3) for pair in range(n) for newest in (False, True)
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=STAGE_SCORES)
    assert duplicate_groups(frame)["linked"].sum() == round(3 * found * n)
    everything = pl.concat([rows_of(3).filter(pl.col("original").is_null() | (pl.col("stage") != "dedup")), frame])
    curve = claims_by_name(everything)["I1 deduplication follows its S-curve", "pairs of similarity 0.8"]
    assert curve["verdict"] == told
    assert curve["n_items"] == 100


@pytest.mark.slow
def test_stages_on_a_small_crawl(tmp_path: Path) -> None:
    """All parts together: the funnel adds up, no newest dump is lost, clean pages stay, and claims are published."""
    resources = {
        "lake": LakeResource(root=str(tmp_path / "lake"), work=str(tmp_path / "work")),
        "rows": RowsResource(workers=1),
    }
    configs = {
        "worlds__labelled_pages": LabelledPagesConfig(n_train=200, n_test=60),
        "worlds__web_pages": WebPagesConfig(n_clean=80, n_planted=8, n_exact_groups=20, n_pairs=10),
        "internlm2__stage_scores": StageScoresConfig(n_extracted=20),
    }

    def run(*assets: dg.AssetsDefinition, partition: str | None = None) -> bool:
        names = ["__".join(asset.key.path) for asset in assets]
        ops = {name: {"config": configs[name].model_dump(mode="json")} for name in names if name in configs}
        return dg.materialize(assets, resources=resources, run_config={"ops": ops}, partition_key=partition).success

    assert run(labelled_pages, *CLASSIFIERS)
    assert run(web_pages, stage_scores, partition="0")
    lake = Lake(str(tmp_path / "lake"), tmp_path / "work")
    rows = lake.get("internlm2/stage_scores", "0").read()
    assert rows.schema == STAGE_SCORES
    assert rows["id"].n_unique() == rows.height
    groups = duplicate_groups(rows)
    assert groups.filter("linked")["newest_kept"].all()
    assert groups.filter(pl.col("planned") == 1.0)["linked"].all()
    assert not groups.filter(pl.col("planned") == 0.5)["linked"].any()
    rules = rows.filter(pl.col("should_drop") & (pl.col("stage") == "rules"))
    assert rules["score"].mean() == 1.0
    assert rows.filter(pl.col("stage") == "format")["score"].mean() > 0.95  # type: ignore[operator]
    assert run(data_claims)
    assert lake.get("claims/internlm2_data").rows > 10
