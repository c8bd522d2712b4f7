"""What each arm trains on: equal tokens, lists merged by rank, and nothing that the pile has not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.errors import InputError
from assets.knowledge_pile.arms import by_fusion, by_hash, drawn_queries, select
from assets.knowledge_pile.measure import retrieval_by_module, retrieval_measures

SIZES = st.dictionaries(st.sampled_from([f"d{n}" for n in range(12)]), st.integers(1, 40), min_size=1)


@given(SIZES, st.integers(1, 500), st.integers(0, 3))
def test_every_selection_has_exactly_the_budget(sizes: dict[str, int], budget: int, seed: int) -> None:
    """Equal tokens are what makes arms comparable: documents repeat where there are too few, the last one is cut."""
    drawn = select(sorted(sizes), sizes, budget, seed)
    assert drawn["n_tokens"].sum() == budget
    whole = drawn[:-1]
    assert [sizes[name] for name in whole["document_id"]] == whole["n_tokens"].to_list()
    assert 0 < drawn["n_tokens"][-1] <= sizes[drawn["document_id"][-1]]
    times = drawn["document_id"].value_counts()["count"]
    assert times.max() - (times.min() if len(times) == len(sizes) else 0) <= 1
    assert drawn["repetition"].max() == times.max()


def test_an_arm_without_documents_says_so() -> None:
    """Training on nothing must not look like a result."""
    with pytest.raises(InputError, match="no document"):
        select([], {}, 10, 0)


RANKED = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from("abcdef"), st.integers(0, 99)), unique_by=lambda hit: hit[:2]
)


@given(RANKED, st.permutations("abcdef"))
def test_lists_are_merged_by_reciprocal_ranks(hits: list[tuple[str, str, int]], rows: list[str]) -> None:
    """Against the formula; only drawn queries and documents of the pile count, whatever the order of the rows."""
    hits = sorted(hits, key=lambda hit: rows.index(hit[1]))
    frame = pl.DataFrame(hits, schema={"query_id": pl.String, "doc_id": pl.String, "rank": pl.Int64}, orient="row")
    scores = {
        doc: sum(1 / (61 + rank) for query, other, rank in hits if other == doc and query != "r")
        for query, doc, _ in hits
        if query != "r" and doc != "f"
    }
    order = by_fusion(frame, ["p", "q"], list("abcde"), seed=0)
    assert set(order) == set(scores)
    found = [scores[name] for name in order]
    assert all(first > second - 1e-9 for first, second in pairwise(found))
    assert order == by_fusion(frame.reverse(), ["p", "q"], list("abcde"), seed=0)


def test_queries_are_drawn_by_kind_and_seed() -> None:
    """Arms differ by the kinds of their queries, seeds by which of them are drawn."""
    queries = pl.DataFrame(
        {"id": [f"{kind}{n}" for kind in ("seed", "question", "thought") for n in range(10)]}
    ).with_columns(kind=pl.col("id").str.strip_chars_end("0123456789"))
    seeds_only = drawn_queries(queries, "seed_only", 0.8, 0)
    assert len(seeds_only) == 8
    assert all(name.startswith("seed") for name in seeds_only)
    assert len(drawn_queries(queries, "thoughts", 0.8, 0)) == 24
    assert len(drawn_queries(queries, "thoughts", 0.001, 0)) == 1
    assert set(seeds_only) != set(drawn_queries(queries, "seed_only", 0.8, 1))


def test_chance_depends_on_ids_and_seed_alone() -> None:
    """The order of the rows must not."""
    ids = [f"d{n}" for n in range(50)]
    assert by_hash(ids, 0) == by_hash(ids[::-1], 0) != by_hash(ids, 1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_retrieval_measures_agree_with_sets(draws: list[int]) -> None:
    """Against the definitions, on a pool of ten passages of which four are of the domain."""
    labels = pl.DataFrame(
        {
            "id": [f"d{n}" for n in range(10)],
            "module": ["m1", "m1", "m2", "m2", *["x"] * 6],
            "in_domain": [n < 4 for n in range(10)],
            "n_tokens": [10] * 10,
        }
    )
    selected = pl.DataFrame({"document_id": [f"d{n}" for n in draws], "n_tokens": [7] * len(draws)})
    chosen, domain = set(draws), set(range(4))
    measured = retrieval_measures(selected, labels)
    assert measured["precision"] == pytest.approx(len(chosen & domain) / len(chosen))
    assert measured["recall"] == pytest.approx(len(chosen & domain) / 4)
    assert measured["domain_share"] == pytest.approx(np.mean([n < 4 for n in draws]))
    assert retrieval_by_module(selected, labels)["passages"].to_list() == [2, 2]
