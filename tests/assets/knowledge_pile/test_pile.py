"""The union of the hits, its provenance and filters, and the passages that it is made of."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.dedup import MinHashPlan, near_duplicates
from assets.core.errors import AthanorError
from assets.knowledge_pile.assets import distinct_documents
from assets.knowledge_pile.passages import is_heldout, is_in_domain, passages_frame, split_passages
from assets.knowledge_pile.pile import filter_reasons, found_among, unite

HITS = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.sampled_from("abcdef"), st.integers(0, 50)),
    unique_by=lambda hit: hit[:2],
    min_size=1,
)


HITS_OF = {"doc_id": pl.String, "hits": pl.Int64}


@given(HITS, st.permutations(["p", "q", "r"]))
def test_the_union_agrees_with_a_walk_over_the_hits(hits: list[tuple[str, str, int]], pool: list[str]) -> None:
    """Provenance is exact: best score, number of queries, and the earliest query of the pool; hits of queries that are
    no longer in the pool do not count."""
    queries = pl.DataFrame({"id": pool, "seed_id": [f"seed of {name}" for name in pool]})
    found = unite(pl.DataFrame(hits, schema=["query_id", "doc_id", "bm25"], orient="row").lazy(), queries)
    expected = []
    for doc in sorted({doc for query, doc, _ in hits if query in pool}):
        of_doc = [(query, score) for query, other, score in hits if other == doc and query in pool]
        first = min((query for query, _ in of_doc), key=pool.index)
        expected.append((doc, max(score for _, score in of_doc), len(of_doc), first, f"seed of {first}"))
    assert found.rows() == expected


@given(st.sets(st.sampled_from("abcdefgh")), st.permutations("bdfhxyz"))
def test_documents_that_were_found_are_those_of_a_join(found: set[str], batch: list[str]) -> None:
    """Halving must agree with a join, in the order of the batch, also for nothing found and what lies at the ends."""
    united = pl.DataFrame({"doc_id": sorted(found), "hits": [ord(name) for name in sorted(found)]}, HITS_OF)
    documents = pl.DataFrame({"id": batch, "text": [f"text of {name}" for name in batch]})
    joined = documents.join(united, left_on="id", right_on="doc_id", how="inner", maintain_order="left")
    assert found_among(documents, united).select("doc_id", "text", "hits").rows() == joined.rows()


@pytest.mark.parametrize("size", [1, 3, 40])
def test_distinct_documents_do_not_hang_on_shards(tmp_path: Path, size: int) -> None:
    """Duplicates are found across shards, those of documents that no query found do not count."""
    texts = [f"{' '.join(f'word{n % 9}x{i}' for i in range(30))}" for n in range(40)]
    pool = pl.DataFrame({"id": [f"{n * 7 % 40:02}" for n in range(40)], "text": texts})
    united = pl.DataFrame({"doc_id": [f"{n:02}" for n in range(0, 40, 2)], "hits": 1})
    whole = near_duplicates(pool.filter(pl.col("id").is_in(united["doc_id"].to_list())), MinHashPlan())
    kept = distinct_documents(pool.iter_slices(size), united, MinHashPlan(), tmp_path)
    assert kept["doc_id"].to_list() == sorted(whole.filter(dup_of="")["id"])
    assert 0 < kept.height < united.height


@pytest.mark.parametrize("ids", [["a"], ["a", "b", "b"]])
def test_a_pool_of_other_passages_is_refused(tmp_path: Path, ids: list[str]) -> None:
    """A passage that was found and is gone, or is there twice, would otherwise be lost or doubled in silence."""
    united = pl.DataFrame({"doc_id": ["a", "b"], "hits": 1})
    pool = pl.DataFrame({"id": ids, "text": [f"text of {name}" for name in ids]})
    with pytest.raises(AthanorError, match="of the 2 passages that were found"):
        distinct_documents([pool], united, MinHashPlan(), tmp_path)


def test_filters_name_their_reason() -> None:
    """Words and symbols at their bounds; an empty text is short and no division by zero."""
    texts = pl.Series(["", "one two three", "one two", "a " * 11, "{}[]()<> ab cd"])
    reasons = filter_reasons(texts, min_words=3, max_words=10, max_symbol_share=0.5)
    assert reasons.to_list() == ["too_short", "", "too_short", "too_long", "symbols"]


@given(st.text("ab \n", max_size=400), st.integers(1, 20))
def test_passages_hold_every_word_once_and_are_not_longer_than_asked(text: str, n_words: int) -> None:
    """Splitting loses no text, whatever its white space."""
    passages = list(split_passages(text, n_words))
    assert [word for passage in passages for word in passage.split()] == text.split()
    assert all(0 < len(passage.split()) <= n_words for passage in passages)


def test_paragraphs_stay_whole_where_they_fit() -> None:
    """A cut inside a sentence costs meaning."""
    text = "one two three\n\nfour five\n\nsix seven eight nine"
    assert list(split_passages(text, 5)) == ["one two three\n\nfour five", "six seven eight nine"]


def test_the_domain_is_a_package_or_what_lies_in_a_module() -> None:
    """`scipy.statsmodels` must not count as `scipy.stats`."""
    domain = ["scipy.stats", "example.org"]
    assert is_in_domain("scipy", "scipy.stats", domain)
    assert is_in_domain("scipy", "scipy.stats._qmc", domain)
    assert not is_in_domain("scipy", "scipy.statsmodels", domain)
    assert is_in_domain("example.org", "https://example.org/a", domain)


def test_a_web_page_keeps_its_address_and_short_pieces_are_counted() -> None:
    """The pile says where a text came from; installed documentation has no address."""
    documents = pl.DataFrame(
        {"id": ["x", "y"], "package": ["e.org", "p"], "module": ["https://e.org/1", "p.m"], "text": ["a b c", "d"]}
    )
    split = passages_frame(documents, n_words=3, min_words=2, domain=["p"])
    assert split.passages.select("parents", "url", "in_domain", "n_words").rows() == [
        (["x"], "https://e.org/1", False, 3)
    ]
    assert split.short == 1


def test_about_the_share_of_modules_is_held_out() -> None:
    """By name and seed alone, so that a module more moves no other one."""
    names = [f"module{n}" for n in range(2000)]
    held = [is_heldout(name, 0.1, 0) for name in names]
    assert 150 < sum(held) < 250
    assert held == [is_heldout(name, 0.1, 0) for name in names]
    assert held != [is_heldout(name, 0.1, 1) for name in names]
