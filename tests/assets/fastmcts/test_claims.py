"""Claims from rows whose differences are known."""

from __future__ import annotations

import polars as pl
import pytest

from assets.fastmcts.claims import Searches, curves, measure_claims, precision_by_visits, right_by_difficulty

SEEDS = (0, 1, 2)
PROBLEMS = [f"p{number}" for number in range(40)]
NOTHING = pl.DataFrame(
    schema={"arm": pl.String, "seed": pl.Int64, "item_id": pl.String, "score": pl.Float64}
)  # fmt: skip
NO_LABELS = pl.DataFrame(schema={"rejected": pl.Boolean, "wrong": pl.Boolean, "visits": pl.Int64, "seed": pl.Int64})


def simulations(share_right: dict[int, float], *, kept: bool = True) -> pl.DataFrame:
    """Ten answers of 10 tokens to each problem, of which the first so many are right, by the problem's difficulty."""
    rows = [
        (seed, problem, iteration, 10, iteration < 10 * share_right[number % 2], kept, f"{iteration}\n#### 1")
        for seed in SEEDS
        for number, problem in enumerate(PROBLEMS)
        for iteration in range(10)
    ]
    names = ["seed", "problem_id", "iteration", "tokens_generated", "verdict", "kept", "response"]
    return pl.DataFrame(rows, schema=names, orient="row")


SCREENED = pl.DataFrame(
    [
        {"parents": [problem], "seed": seed, "budget": 100, "difficulty": 2 + number % 2}
        for seed in SEEDS
        for number, problem in enumerate(PROBLEMS)
    ]
)
# The search finds more on hard problems and solves them all; vanilla finds no paths that it keeps.
BUDGETED = Searches(
    SCREENED,
    {
        "fastmcts": simulations({0: 0.8, 1: 0.6}),
        "rejection": simulations({0: 0.8, 1: 0.2}),
        "vanilla": simulations({0: 0.8, 1: 0.2}, kept=False),
    },
)
NO_ABLATIONS = Searches(SCREENED, {})


def claim(name: str, metric: str, treatment: str = "fastmcts"):  # type: ignore[no-untyped-def]
    found = measure_claims(BUDGETED, NO_ABLATIONS, NOTHING, NO_LABELS)
    (one,) = [each for each in found if (each.claim, each.metric, each.treatment) == (name, metric, treatment)]
    return one


def test_more_right_paths_at_every_budget() -> None:
    """Means per problem: (8 + 6)/2 against (8 + 2)/2 at the whole budget, and their ratio in the note."""
    whole = claim("F1 more right paths", "right_paths_per_problem at 100% of the budget")
    assert (whole.difference, whole.n_seeds, whole.n_items) == (pytest.approx(2.0), 3, 40)
    assert whole.verdict == "reproduced"
    assert "ratio 1.40" in whole.note
    quarter = claim("F1 more right paths", "right_paths_per_problem at 25% of the budget")
    assert quarter.difference == 0
    assert quarter.verdict == "inconclusive"


def test_balance() -> None:
    """Counts 8 and 6 have a Gini of 1/14, 8 and 2 one of .3: lower, and no problem lost."""
    balanced = claim("F2 more balanced", "gini_of_right_paths_over_problems at 100% of the budget")
    assert balanced.difference == pytest.approx(1 / 14 - 0.3)
    assert balanced.verdict == "reproduced"
    assert (
        claim("F2 solve rate kept", "share_of_problems_with_a_right_path at 100% of the budget").verdict == "reproduced"
    )


def test_discarded_rollouts_are_no_paths() -> None:
    """However right vanilla's rollouts were, its tree has no path to train on."""
    ordering = claim("F1 ordering", "right_paths_per_problem at 100% of the budget", "rejection")
    assert ordering.difference == pytest.approx(5.0)


def test_only_problems_of_every_seed_are_compared() -> None:
    """Screening drops other problems for every policy; a claim pairs what all seeds have."""
    rows = simulations({0: 0.8, 1: 0.6}).filter((pl.col("seed") != 1) | (pl.col("problem_id") != "p0"))
    assert "p0" not in Searches(SCREENED, {"a": rows, "b": simulations({0: 1, 1: 1})}).problems


def test_unequal_budgets_are_seen() -> None:
    """A problem left before its budget was spent makes the comparison unequal, and is named."""
    assert BUDGETED.unfinished() == {}
    short = simulations({0: 1, 1: 1}).filter((pl.col("problem_id") != "p3") | (pl.col("iteration") < 9))
    assert Searches(SCREENED, {"a": short}).unfinished() == {f"a@{seed}": ["p3"] for seed in SEEDS}


def test_components_have_the_published_directions_only() -> None:
    """F3 compares all simulations, whatever they cost."""
    ablations = {name: simulations({0: 0.5, 1: 0.5}) for name in ("rejection", "without_stay", "without_dynamic")}
    ablations |= {"full": simulations({0: 0.5, 1: 0.7}), "without_both": simulations({0: 0.5, 1: 0.0})}
    found = list(measure_claims(NO_ABLATIONS, Searches(SCREENED, ablations), NOTHING, NO_LABELS))
    assert len(found) == 7
    verdicts = {(each.baseline, each.metric.split("_")[0]): each.verdict for each in found}
    assert verdicts["without_both", "share"] == "reproduced"
    assert verdicts["without_dynamic", "right"] == "reproduced"
    assert verdicts["without_stay", "share"] == "inconclusive"
    assert verdicts["without_dynamic", "share"] == "reproduced"


def test_training_claims_pair_items_and_seeds() -> None:
    """Accuracy .75 against .5 on the same items; arms without scores make no claim."""
    rows = [
        {"arm": arm, "seed": seed, "item_id": f"t{item}", "score": float(item % 4 < right)}
        for arm, right in (("fastmcts", 3), ("rejection", 2))
        for seed in SEEDS
        for item in range(80)
    ]
    (found,) = measure_claims(NO_ABLATIONS, NO_ABLATIONS, pl.DataFrame(rows), NO_LABELS)
    assert found.claim == "F4 better data at equal sampling tokens"
    assert found.difference == pytest.approx(0.25)
    assert found.verdict == "reproduced"


def test_label_precision_by_visits() -> None:
    """Steps rejected after one wrong answer are half right here, those after two all wrong; steps that a right sibling
    repeats make no pairs."""
    drawn = [(1, True, True, False), (2, True, False, True)] * 40 + [(3, False, False, False)] * 80
    names = ["visits", "rejected", "repeated", "wrong"]
    labels = pl.DataFrame([dict(zip(names, row, strict=True)) | {"seed": seed} for seed in SEEDS for row in drawn])
    assert precision_by_visits(labels, "rejected") == {1: (0.5, 240), 2: (1.0, 120)}
    assert precision_by_visits(labels, "paired") == {1: (1.0, 120), 2: (1.0, 120)}
    found = list(measure_claims(NO_ABLATIONS, NO_ABLATIONS, NOTHING, labels))
    assert [each.verdict for each in found] == ["reproduced"] * 4
    assert found[1].difference == pytest.approx(0.75)


def test_curves_and_bins_for_the_pictures() -> None:
    """A value per seed at every share of the budget, and a mean per difficulty."""
    right, solved = curves(BUDGETED)
    assert right["rejection"][1.0] == [5.0] * 3
    assert solved["vanilla"][1.0] == [0.0] * 3
    assert right_by_difficulty(BUDGETED)["fastmcts"] == {"2": 8.0, "3": 6.0}
