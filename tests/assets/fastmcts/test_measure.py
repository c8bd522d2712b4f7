"""What is counted of a sampler's answers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.fastmcts.measure import gini, per_problem, prefix_overlap, within_budget


def simulations(*rows: tuple[str, int, int, bool, bool, str]) -> pl.DataFrame:
    columns = ["problem_id", "iteration", "tokens_generated", "verdict", "kept", "response"]
    return pl.DataFrame(rows, schema=columns, orient="row")


ROWS = simulations(
    ("a", 1, 10, True, True, "x\n#### 1"),
    ("a", 0, 10, True, True, "x\n#### 1\n"),
    ("a", 2, 10, True, True, "y\n#### 1"),
    ("a", 3, 10, False, True, "z\n#### 2"),
    ("b", 0, 10, True, False, "x"),
)


def test_counts_per_problem() -> None:
    """White space makes no distinct answer; a discarded rollout is no path, however right."""
    found = per_problem(ROWS, ["a", "b", "c"])
    assert found["right"].tolist() == [3, 0, 0]
    assert found["distinct"].tolist() == [2, 0, 0]
    assert found["first_steps"].tolist() == [2, 0, 0]
    assert found["solved"].tolist() == [1, 0, 0]
    assert found["overlap"].tolist() == pytest.approx([1 / 3, 0, 0])


def test_budget_counts_tokens_in_the_order_of_iterations() -> None:
    """Simulations that end beyond the budget do not count, in either arm."""
    kept = within_budget(ROWS, {"a": 40, "b": 9}, 0.5)
    assert kept.select("problem_id", "iteration").sort("iteration").rows() == [("a", 0), ("a", 1)]


def test_overlap() -> None:
    """Of two of four characters, the shared two are half."""
    assert prefix_overlap(["abcd", "abxy"]) == 0.5
    assert prefix_overlap(["ab", "abcd"]) == 0.5
    assert prefix_overlap(["same"]) == 0


def test_gini_by_hand() -> None:
    """Equal shares 0, one of four has all: 3/4; 1 and 3 of two: 1/4; nothing at all: 0."""
    ones = np.ones(4)
    assert gini(np.full(4, 2.0), ones) == pytest.approx(0)
    assert gini(np.array([0.0, 0, 0, 5]), ones) == pytest.approx(0.75)
    assert gini(np.array([1.0, 3]), np.ones(2)) == pytest.approx(0.25)
    assert gini(np.zeros(4), ones) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=12))
def test_weights_are_repetitions(drawn: list[tuple[int, int]]) -> None:
    """An item of weight 2 counts as two items: what a bootstrap resample needs."""
    values, weights = np.array(drawn, dtype=float).T
    repeated = np.repeat(values, weights.astype(int))
    if len(repeated):
        assert gini(values * weights, weights) == pytest.approx(float(gini(repeated, np.ones(len(repeated)))))
