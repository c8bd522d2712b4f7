"""What a run reports of itself, and what it refuses."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest

from assets.core.errors import InputError
from assets.fastmcts.assets import problems_of, search_settings, wrong_verdicts
from assets.fastmcts.config import PAPER, TINY, SearchConfig
from assets.fastmcts.run import Occupancy, run_search
from assets.fastmcts.search import Search, Settings
from assets.fastmcts.tree import Rule
from tests.assets.fastmcts.scripted import ScriptedCodec, ScriptedEngine, grade, problems
from tests.assets.fastmcts.small_policy import problems as small_problems


def test_cost_counts_generated_and_recomputed_tokens_apart(tmp_path: Path) -> None:
    """Reused prefixes are free in the budget, and logged beside it; a resumed run counts all simulations."""
    settings = Settings(Rule(), 30)
    first, second = (
        run_search(ScriptedEngine(4), ScriptedCodec(), problems(8), settings, work=tmp_path, label="run").cost()
        for _ in range(2)
    )
    assert first["generated_tokens"] >= 8 * 60
    # The verifier finds no right answer in these, so that each starts at the root behind its one prompt token.
    assert first["recomputed_tokens"] == first["simulations"]
    assert {name: second[name] for name in ("simulations", "generated_tokens")} == {
        name: first[name] for name in ("simulations", "generated_tokens")
    }
    assert second["generating_seconds"] == 0


def test_occupancy_is_over_time() -> None:
    """Two problems in an engine of four slots keep at most half of them busy."""
    search = Search(problems(2), Settings(Rule(), 30, iterations=4), ScriptedCodec(), grade)
    occupancy = Occupancy(4)
    for _ in occupancy.follow(search, search.run(ScriptedEngine(4))):
        time.sleep(0.001)
    assert 0.2 < occupancy.mean <= 0.5


def test_verifier_unit_set_holds_for_right_and_fails_for_a_wrong_gold() -> None:
    """The blocking check is silent on a sound verifier, and names responses that it judges otherwise."""
    rows = small_problems(8)
    assert wrong_verdicts(rows) == []
    assert wrong_verdicts(rows.with_columns(gold_answer=pl.lit(""))) != []


def test_few_shot_needs_solutions() -> None:
    """A prompted model without solved examples would be asked in another way than configured."""
    rows = small_problems(16)
    config = SearchConfig(n_shots=2)
    assert len(search_settings(config, Rule(), 0, rows).shots) == rows.filter(pl.col("split") == "sft").height
    with pytest.raises(InputError, match="n_shots"):
        search_settings(config, Rule(), 0, rows.filter(pl.col("split") != "sft"))


def test_screened_problems_keep_their_name_in_the_problem_set() -> None:
    """Screened rows have ids of their own; a search knows a problem by the id that splits and claims know."""
    rows = small_problems(4)
    screened = rows.with_columns(parents=pl.concat_list("id"), id=pl.lit("x") + pl.col("id"), budget=pl.lit(7))
    assert [problem.id for problem in problems_of(screened)] == rows["id"].to_list()
    assert {problem.budget for problem in problems_of(screened)} == {7}


def test_presets_differ_from_the_published_rule_only_where_they_say() -> None:
    """Degrees 3 and 2, β .4, 16 or 25 iterations are the source's in both presets."""
    for preset in (TINY, PAPER):
        assert (preset.search.root_degree, preset.search.degree) == (3, 2)
        assert preset.prefer.beta == 0.4
        assert preset.ablation.iterations == 25
        assert preset.search.rule == Rule()
