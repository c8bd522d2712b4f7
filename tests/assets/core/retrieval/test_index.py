"""What a search finds, against BM25 written out; ties, odd input, equal bytes."""

from __future__ import annotations

import filecmp
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.core.errors import InputError
from assets.core.retrieval import HIT_SCHEMA, Bm25Plan, Index, build_index
from assets.core.retrieval import index as retrieval
from tests.assets.core.retrieval.reference import bm25

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "é", "数", "x_1"]), max_size=8)
CORPUS = st.lists(WORDS, min_size=1, max_size=12)


def documents(texts: list[str | None], ids: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {"id": ids or [f"d{n:03}" for n in range(len(texts))], "text": pl.Series(texts, dtype=pl.String)}
    )


def made(frame: pl.DataFrame, folder: Path, plan: Bm25Plan | None = None) -> Index:
    build_index([frame], folder, plan)
    return Index.open(folder)


@settings(max_examples=60, deadline=None)
@given(corpus=CORPUS, query=WORDS, k=st.integers(1, 15), k1=st.floats(0, 3), b=st.floats(0, 1))
def test_the_best_documents_are_those_of_the_formula(
    tmp_path_factory: pytest.TempPathFactory, corpus: list[list[str]], query: list[str], k: int, k1: float, b: float
) -> None:
    """Scores agree with the formula within 1e-5, and no document with a better score is missing."""
    index = made(documents([" ".join(words) for words in corpus]), tmp_path_factory.mktemp("index"), Bm25Plan(k1, b))
    hits = index.search([" ".join(query)], k)
    truth = bm25(query, corpus, k1, b) if any(corpus) else [0.0] * len(corpus)
    assert hits["rank"].to_list() == list(range(min(k, sum(score > 0 for score in truth))))
    for found, best in zip(hits["score"], sorted(truth, reverse=True), strict=False):
        assert math.isclose(found, best, rel_tol=1e-5)
    for place, found in hits.select("id", "score").iter_rows():
        assert math.isclose(truth[int(place[1:])], found, rel_tol=1e-5)
    assert hits.equals(hits.sort("score", "id", descending=[True, False]))


def test_common_and_rare_words_score_by_the_formula(tmp_path: Path) -> None:
    """Errors of float32 do not add up: long texts and queries, with words that nearly all texts hold or only one."""
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in random.zipf(1.3, random.integers(5, 60))) for _ in range(150)]
    queries = ["w1 w2 w3 w1", "w50 w120", " ".join(f"w{n}" for n in range(1, 60)), texts[0]]
    hits = made(documents(texts), tmp_path).search(queries, 100)
    for place, query in enumerate(queries):
        expected = bm25(query.split(), [text.split() for text in texts])
        found = hits.filter(pl.col("query") == place)
        best = sorted((score for score in expected if score), reverse=True)[:100]
        np.testing.assert_allclose(found["score"], best, rtol=1e-5)
        np.testing.assert_allclose(found["score"], [expected[int(id_[1:])] for id_ in found["id"]], rtol=1e-5)


def test_ties_are_ordered_by_id(tmp_path: Path) -> None:
    """Equal texts score alike; neither their order nor which are found depends on the order of the input."""
    ids = [f"{n * 37 % 100:02}" for n in range(100)]
    frame = documents(["cat"] * 99 + ["cat dog"], ids)
    index = made(frame, tmp_path / "one")
    assert index.search(["cat"], 99)["id"].to_list() == sorted(ids[:99])
    cut = index.search(["cat"], 10)
    assert cut["id"].is_sorted()
    assert cut["id"].is_in(ids[:99]).all()
    assert cut.equals(made(frame.reverse(), tmp_path / "two").search(["cat"], 10))


def test_queries_without_known_words_find_nothing(tmp_path: Path) -> None:
    """Empty queries and unknown words neither fail nor move the answers of their neighbours."""
    index = made(documents(["cat", "dog", None, ""]), tmp_path)
    hits = index.search(["", "dog", "zebra aardvark", "…", "cat zebra"], 5)
    assert hits.select("query", "id").rows() == [(1, "d001"), (4, "d000")]
    assert index.search([], 5).schema == index.search([""], 5).schema == pl.Schema(HIT_SCHEMA)


def test_a_corpus_without_documents_or_words(tmp_path: Path) -> None:
    """An index of nothing answers every query with nothing."""
    build_index([], tmp_path / "none")
    assert Index.open(tmp_path / "none").search(["cat"], 5).height == 0
    assert made(documents([None, "…"]), tmp_path / "empty").search(["cat"], 5).height == 0


def test_many_queries_are_answered_as_each_alone(tmp_path: Path) -> None:
    """Slices of queries run in threads; no query gets the answer of another."""
    index = made(documents([f"word{n} word{n + 1} common" for n in range(300)]), tmp_path)
    queries = [f"word{n} common" for n in range(300)]
    together = index.search(queries, 3)
    for n in (0, 63, 64, 65, 128, 299):
        alone = index.search([queries[n]], 3)
        assert together.filter(pl.col("query") == n).drop("query").equals(alone.drop("query"))


def test_documents_that_share_no_word_do_not_change_the_order(tmp_path: Path) -> None:
    """Padding of average length changes idf and scores, and not who comes before whom."""
    texts = ["cat cat dog", "cat dog bird", "cat bird fish", "dog bird fish"]
    few = made(documents(texts), tmp_path / "few").search(["cat"], 9)
    many = made(documents(texts + ["tree leaf root"] * 50), tmp_path / "many").search(["cat"], 9)
    assert few["id"].to_list() == many["id"].to_list()
    assert (many["score"] > few["score"]).all()


def test_repeated_words_of_a_query_count_again(tmp_path: Path) -> None:
    """The formula sums over the words of the query, not over its distinct words."""
    index = made(documents(["cat", "dog"]), tmp_path)
    once, twice = (index.search([query], 1)["score"][0] for query in ("cat", "cat cat"))
    assert twice == 2 * once


def test_equal_documents_give_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither frames nor slices of texts show in the files."""
    frame = documents([f"w{n % 7} w{n % 11} common c{n}" for n in range(200)])
    build_index([frame], tmp_path / "one")
    monkeypatch.setattr(retrieval, "SLICE_DOCUMENTS", 7)
    build_index(frame.iter_slices(13), tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False) == (names, [], [])


def test_an_index_is_mapped_not_loaded(tmp_path: Path) -> None:
    """What grows with the number of documents stays in its files, of which the system keeps what is used."""
    index = made(documents(["cat", "dog"]), tmp_path)
    maps = Path("/proc/self/maps").read_text()
    for name in ("data.csc.index.npy", "indices.csc.index.npy", "ids.arrow"):
        assert str(tmp_path / name) in maps
    assert index.n_documents == 2


def test_one_id_for_two_documents_is_refused(tmp_path: Path) -> None:
    """Hits are joined by id: an id must mean one document."""
    with pytest.raises(InputError, match="more than one document has the id 'x'"):
        build_index([documents(["a", "b"], ["x", "x"])], tmp_path)


def test_a_folder_without_index_is_refused(tmp_path: Path) -> None:
    """The error says what to do."""
    with pytest.raises(InputError, match="holds no index"):
        Index.open(tmp_path)
