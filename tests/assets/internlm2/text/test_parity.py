"""The rules against datatrove's filters of the same papers, document by document, on real pages.

Words are split at white space and sentences by one expression on both sides: what is compared are the rules.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.core.audit import judge
from assets.internlm2.text.config import RulesConfig
from assets.internlm2.text.normalise import normalise
from assets.internlm2.text.rules import SENTENCE_END, limits, rule_scores

CORPUS = Path(__file__).parents[5] / "shared" / "data" / "corpus"
GOPHER_QUALITY = (
    "too_few_words", "too_many_words", "words_too_short", "words_too_long", "hashes", "ellipses", "bullet_lines",
    "ellipsis_lines", "too_few_alphabetic_words", "too_few_stop_words",
)  # fmt: skip
REPETITION = (
    "repeated_paragraphs", "repeated_paragraph_characters", "repeated_lines", "repeated_line_characters",
    *(f"top_{n}_gram" for n in (2, 3, 4)), *(f"repeated_{n}_grams" for n in range(5, 11)),
)  # fmt: skip
CLOSINGS = ("", *"\"'”’»）)]")


def first(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


# Real pages seldom break a rule; these ways to spoil one do.
DAMAGE: list[Callable[[str], str]] = [
    lambda text: "\n".join(f"- {line}" for line in text.splitlines()),
    lambda text: "\n".join(f"{line}..." for line in text.splitlines() if line),
    lambda text: " ".join(f"#{word}" for word in text.split()),
    lambda text: first(text, 40),
    lambda text: "\n\n".join([first(text, 60)] * 3),
    lambda text: "\n".join([first(text, 12)] * 6 + [text]),
    lambda text: f"{text} " + f"{first(text, 4)} " * 30,
    lambda text: text.replace(" ", ""),
    lambda text: " ".join(text[:2000].replace(" ", "")),
    lambda text: re.sub(r"\b[aeiost]\w*", "7", text),
]


def unpacked(name: str) -> str:
    return gzip.decompress((CORPUS / name).read_bytes()).decode()


@pytest.fixture(scope="module")
def pages() -> pl.DataFrame:
    """Web articles, Wikipedia articles and scenes of plays, then spoilt web articles; all normalised."""
    if not CORPUS.exists():
        pytest.skip("shared/data is not on this machine")
    articles = json.loads(unpacked("web_articles_ground_truth.json.gz"))
    web = [article["articleBody"] for article in articles.values()]
    wikipedia = re.split(r"\n(?= = [^=])", unpacked("wikitext2_valid.txt.gz"))
    speeches = unpacked("tinyshakespeare.txt.gz").split("\n\n")
    scenes = ["\n\n".join(speeches[start : start + 20]) for start in range(0, len(speeches), 20)]
    real = [*web, *wikipedia, *scenes]
    spoilt = [damage(text) for text in web[::2] for damage in DAMAGE]
    frame = pl.DataFrame({"text": [*real, *spoilt], "real": [True] * len(real) + [False] * len(spoilt)})
    frame = frame.with_columns(id=pl.int_range(pl.len()).cast(pl.String), language=pl.lit("en"), n_bytes=0)
    return normalise(frame).filter(pl.col("text") != "")


@pytest.fixture(scope="module")
def scores(pages: pl.DataFrame) -> pl.DataFrame:
    return rule_scores(pages, RulesConfig())


def compared(pages: pl.DataFrame, scores: pl.DataFrame, rules: tuple[str, ...], peer: Any) -> pl.DataFrame:
    """Pages with our scores, our reason and the peer's ("" for a page that is kept)."""
    from datatrove.data import Document

    chosen = [limit for limit in limits(RulesConfig()) if limit.reason in rules]
    verdicts = [peer.filter(Document(text=text, id="")) for text in pages["text"]]
    theirs = ["" if verdict is True else verdict[1] for verdict in verdicts]
    ours = judge(pages["id"], scores, chosen)["reason"]
    found = pages.hstack(scores).with_columns(ours=ours, theirs=pl.Series(theirs))
    assert (found["ours"] != "").sum() > 40, "the pages must put the rules to the test"
    return found


def spaced(found: pl.DataFrame) -> pl.DataFrame:
    """Without pages in scripts that do not part words: there the peer takes a sentence for a word."""
    return found.filter(pl.col("words_too_long").is_not_null())


def differing(found: pl.DataFrame) -> pl.DataFrame:
    return found.filter((pl.col("ours") == "") != (pl.col("theirs") == ""))


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """datatrove's filters with our words and sentences."""
    pytest.importorskip("datatrove", reason="the peer is not installed")
    from datatrove.pipeline import filters
    from datatrove.pipeline.filters import (
        c4_filters,
        fineweb_quality_filter,
        gopher_quality_filter,
        gopher_repetition_filter,
    )

    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        monkeypatch.setattr(module, "split_into_words", lambda text, language: text.split())
    monkeypatch.setattr(
        c4_filters, "split_into_sentences", lambda text, language: re.findall(SENTENCE_END, text), raising=True
    )
    return filters


def test_gopher_quality(pages: pl.DataFrame, scores: pl.DataFrame, peers: Any) -> None:
    """One difference: an empty line between paragraphs is a line to the peer, which halves the share of others."""
    found = differing(compared(pages, scores, GOPHER_QUALITY, peers.GopherQualityFilter()))
    assert found.height <= 2
    assert found["ours"].is_in(["bullet_lines", "ellipsis_lines"]).all()
    assert found["text"].str.contains("\n\n", literal=True).all()


def test_gopher_repetition(pages: pl.DataFrame, scores: pl.DataFrame, peers: Any) -> None:
    """Real pages: no difference. Spoilt ones: the peer calls an n-gram frequent that comes once (a page of few, long
    words), takes the first of equally frequent ones where we take the longest, and steps over repeated n-grams n words
    at a time, so that it misses the words at the end of a repetition."""
    found = differing(spaced(compared(pages, scores, REPETITION, peers.GopherRepetitionFilter())))
    assert not found["real"].any()
    for row in found.iter_rows(named=True):
        if row["ours"] == "":
            assert row["theirs"].startswith("top_")
            assert row[row["theirs"]] == 0
        else:
            assert row["ours"].startswith(("repeated_5", "repeated_9", "repeated_10", "top_"))


def test_repeated_ngrams_are_all_that_the_peer_finds(pages: pl.DataFrame, scores: pl.DataFrame, peers: Any) -> None:
    """Of every page and length we count at least the peer's characters, and none where it finds none."""
    from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate

    found = spaced(pages.hstack(scores))
    for n in (5, 10):
        ours = found[f"repeated_{n}_grams"] * found["text"].str.len_chars()
        theirs = pl.Series([find_all_duplicate(text.split(), n) for text in found["text"]])
        assert (ours > theirs - 1e-6).all()
        assert ((ours > 0) == (theirs > 0)).all()


def test_c4(pages: pl.DataFrame, scores: pl.DataFrame, peers: Any) -> None:
    """The rules that drop a page: too few sentences. (Of its rules on lines we keep the phrases, as a share.)"""
    peer = peers.C4QualityFilter(
        filter_curly_bracket=False, filter_no_terminal_punct=False, min_words_per_line=-1, max_word_length=-1,
        remove_citations=False, filter_javascript=False, filter_policy=False, min_num_sentences=3,
    )  # fmt: skip
    found = compared(pages, scores, ("lorem_ipsum", "too_few_sentences"), peer)
    assert differing(found).is_empty()


def test_fineweb(pages: pl.DataFrame, scores: pl.DataFrame, peers: Any) -> None:
    """One difference: lines to a word say nothing where white space does not part words."""
    marks = tuple(f"{mark}{closing}" for mark in ".!?…。！？؟।" for closing in CLOSINGS)
    peer = peers.FineWebQualityFilter(char_duplicates_ratio=1.0, stop_chars=marks)
    rules = ("too_few_terminated_lines", "short_lines", "lines_per_word")
    found = differing(compared(pages, scores, rules, peer))
    assert set(found["theirs"]) == {"list_ratio"}
    assert found["lines_per_word"].is_null().all()
