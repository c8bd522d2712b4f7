"""What is kept: no limit broken, and a context that helps."""

from __future__ import annotations

import polars as pl

from assets.core.audit import VERDICTS
from assets.internlm2.long.candidates import candidates_of
from assets.internlm2.long.perplexity import chunks_of
from assets.internlm2.long.select import least_delta, select_verdicts


def test_verdicts_in_the_order_of_the_documents() -> None:
    """A broken limit counts first; a document without chunks is not judged by perplexity."""
    statistics = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d"], "domain": ["text", "text", "code", "text"], "language": ["en", "zh", "", "en"],
            "reason": ["", "", "", "high_bar_rate"], "score": [None, None, None, 0.5],
            "threshold": [None, None, None, 0.1],
        }
    )  # fmt: skip
    perplexity = pl.DataFrame({"id": ["c", "b", "a"], "ppl_delta": [None, 0.5, -0.25]})
    found = select_verdicts(statistics, perplexity, {"text": 0.0, "text/zh": 1.0})
    assert found.select(VERDICTS.names()).rows() == [
        ("a", "context_hurts", -0.25, 0.0, ""),
        ("b", "context_hurts", 0.5, 1.0, ""),
        ("c", "", None, None, ""),
        ("d", "high_bar_rate", 0.5, 0.1, ""),
    ]


def test_the_threshold_of_a_language_comes_before_its_domains() -> None:
    """None where neither is given."""
    least = {"text": 0.0, "text/zh": 1.0}
    assert least_delta(least, "text", "zh") == 1.0
    assert least_delta(least, "text", "en") == 0.0
    assert least_delta(least, "code", "") is None


def test_chunks() -> None:
    """Whole ones only; of many, evenly spaced ones with the first and the last."""
    assert chunks_of(list(range(7)), 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert chunks_of(list(range(10)), 1, 4).ravel().tolist() == [0, 3, 6, 9]
    assert chunks_of([1, 2], 3).shape == (0, 3)


def test_candidates_of_both_kinds_of_source() -> None:
    """Only what is longer than the limit; the domain by the kind, the language of text found."""
    text = "The committee met again because nobody had agreed on anything before. " * 10
    documents = pl.DataFrame(
        {"id": ["a", "b", "c"], "kind": ["prose", "code", "prose"], "text": [text, text, "x"], "n_bytes": [700, 700, 1]}
    )
    found = candidates_of(documents, "corpora/clean_documents", 100)
    assert found.select("parents", "domain", "language").rows() == [(["a"], "text", "en"), (["b"], "code", "")]
    repositories = pl.DataFrame({"id": ["r"], "markdown": ["# r"], "n_bytes": [101]})
    assert candidates_of(repositories, "internlm2/code/repositories", 100)["domain"].to_list() == ["code"]
    assert candidates_of(repositories, "internlm2/code/repositories", 101).schema == found.schema
