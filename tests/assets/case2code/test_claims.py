"""Claims: planted effects get their verdict, few seeds none, and what could not be scored leaves both arms."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assets.case2code.claims import MIN_SEEDS, measure_claims
from assets.claims.claim import Claim, claims_frame, markdown_table

N_ITEMS = 120


def rows(
    arm: str, evaluation: str, hidden: float, *, shown: float | None = None, seeds: int = MIN_SEEDS
) -> pl.DataFrame:
    """Problems of which a share passes on hidden cases and a share on shown ones; seeds differ in a few problems."""
    found = []
    for seed in range(seeds):
        luck = np.random.default_rng([seed, len(arm)]).random(N_ITEMS)
        difficulty = np.random.default_rng(7).random(N_ITEMS) * 0.8 + luck * 0.2
        for item in range(N_ITEMS):
            passes = float(difficulty[item] < np.quantile(difficulty, hidden)) if hidden else 0.0
            passes_shown = float(difficulty[item] < np.quantile(difficulty, shown)) if shown else passes
            found.append(
                {
                    "item_id": f"p{item:03d}", "arm": arm, "seed": seed, "evaluation": evaluation,
                    "shown_accuracy": passes_shown, "hidden_accuracy": 0.5 + passes / 2, "score": passes,
                    "bits": None, "n_bytes": None,
                }
            )  # fmt: skip
    return pl.DataFrame(found, schema_overrides={"bits": pl.Float64, "n_bytes": pl.Int64})


def texts(arm: str, bits_per_byte: float, seeds: int = MIN_SEEDS) -> pl.DataFrame:
    """Held-out documents of two sizes."""
    return pl.DataFrame(
        [
            {
                "item_id": f"d{item}", "arm": arm, "seed": seed, "evaluation": "text", "shown_accuracy": None,
                "hidden_accuracy": None, "score": None, "n_bytes": (size := 100 * (1 + item % 2)),
                "bits": bits_per_byte * size * (1 + 0.01 * np.sin(item + seed)),
            }
            for seed in range(seeds)
            for item in range(30)
        ],
        schema_overrides={"shown_accuracy": pl.Float64, "hidden_accuracy": pl.Float64, "score": pl.Float64},
    )  # fmt: skip


def measured(*frames: pl.DataFrame) -> dict[tuple[str, str], Claim]:
    return {(claim.claim, claim.baseline): claim for claim in measure_claims(pl.concat(frames, how="diagonal"))}


def test_planted_effects_have_their_sign() -> None:
    """Training on cases that beats both controls reproduces claim 1; losing to one of them contradicts it."""
    found = measured(
        rows("diverse", "evaluation", 0.4), rows("plain_code", "evaluation", 0.1), rows("few_shot", "evaluation", 0.6)
    )
    cases = found["1 cases teach induction", "plain_code"]
    assert (cases.verdict, cases.n_seeds, cases.n_items) == ("reproduced", MIN_SEEDS, N_ITEMS)
    assert cases.low < cases.difference < cases.high
    assert cases.difference == pytest.approx(0.3, abs=0.02)
    assert found["1 training beats few-shot", "few_shot"].verdict == "not_reproduced"


def test_diversity_is_judged_under_the_unseen_template_only() -> None:
    """The single template may win under its own prompt: claim 2 asks about another."""
    found = measured(
        rows("diverse", "evaluation", 0.1), rows("single", "evaluation", 0.5),
        rows("diverse", "unseen", 0.4), rows("single", "unseen", 0.05),
    )  # fmt: skip
    assert found["2 diverse prompts generalise", "single"].verdict == "reproduced"
    assert found["2 diverse prompts generalise", "single"].metric.endswith("unseen_template")


def test_the_gap_is_reported_for_every_arm() -> None:
    """An arm that fits what it is shown and nothing else has a large gap between shown and hidden cases."""
    found = measured(rows("diverse", "evaluation", 0.2, shown=0.6), rows("plain_code", "evaluation", 0.1))
    gap = found["3 shown against hidden cases", "diverse, hidden cases"]
    assert gap.difference == pytest.approx(0.4, abs=0.02)
    none = found["3 shown against hidden cases", "plain_code, hidden cases"]
    assert (none.difference, none.verdict) == (0.0, "inconclusive")


def test_transfer_reports_either_sign() -> None:
    """Worse bits per byte are a finding, not a failure: reproduced says that there is a difference, and its sign."""
    found = measured(texts("diverse", 2.2), texts("plain_code", 1.8))
    transfer = found["4 transfer to code", "plain_code"]
    assert transfer.difference == pytest.approx(0.4, abs=0.05)
    assert (transfer.verdict, transfer.metric) == ("reproduced", "bits_per_byte")
    assert "sign is reported" in transfer.note


def test_few_seeds_give_no_verdict() -> None:
    """One seed says nothing of others, whatever it shows."""
    found = measured(rows("diverse", "evaluation", 0.9, seeds=1), rows("plain_code", "evaluation", 0.0, seeds=1))
    assert {claim.verdict for claim in found.values()} == {"inconclusive"}
    assert all(f"1 of at least {MIN_SEEDS} seeds" in claim.note for claim in found.values())


def test_problems_that_an_arm_has_no_score_for_leave_both() -> None:
    """A sandbox failure in one arm must not count as wrong there, nor as right in the other."""
    broken = rows("diverse", "evaluation", 0.4).with_columns(
        hidden_accuracy=pl.when((pl.col("item_id") == "p003") & (pl.col("seed") == 1))
        .then(None)
        .otherwise("hidden_accuracy")
    )
    found = measured(broken, rows("plain_code", "evaluation", 0.1))
    assert found["1 cases teach induction", "plain_code"].n_items == N_ITEMS - 1


def test_several_samples_of_a_problem_are_one_item() -> None:
    """Samples are averaged first: the unit of the interval is the problem."""
    twice = pl.concat([rows("diverse", "evaluation", 0.4)] * 2)
    found = measured(twice, rows("plain_code", "evaluation", 0.1))
    assert found["1 cases teach induction", "plain_code"].n_items == N_ITEMS


def test_claims_make_rows() -> None:
    """Every claim has an id of its own, and arms that were not run make no claim."""
    frame = claims_frame(
        list(measure_claims(pl.concat([rows("diverse", "evaluation", 0.4), rows("single", "evaluation", 0.2)])))
    )
    assert frame["id"].n_unique() == frame.height == 2
    assert "3 shown against hidden cases" in markdown_table(frame)
