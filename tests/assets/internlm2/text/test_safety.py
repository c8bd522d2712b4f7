"""Blocked domains and words, and the order in which safety and quality ask."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.core.errors import InputError
from assets.internlm2.text.blocklists import Blocklists, digests, entries, read_blocklists
from assets.internlm2.text.classifier import Classifier, Floats
from assets.internlm2.text.config import QualityConfig, SafetyConfig
from assets.internlm2.text.quality import quality_verdicts
from assets.internlm2.text.safety import blocked_hosts, count_blocked, hosts_of, safety_verdicts


class Says(Classifier):
    """A classifier to which texts with a certain word are bad."""

    def __init__(self, word: str) -> None:
        self.word = word

    def scores(self, texts: Sequence[str]) -> Floats:
        return np.array([0.9 if self.word in text else 0.1 for text in texts])

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def frame(*pages: tuple[str, str]) -> pl.DataFrame:
    rows = [{"id": str(n), "url": url, "text": text} for n, (url, text) in enumerate(pages)]
    return pl.DataFrame(rows)


def test_hosts() -> None:
    """User, port, case and a closing dot do not hide a host; what is no URL has none."""
    urls = ["https://Me@A.Evil.com.:80/x", "//b.org?q=http://c.org", "mailto:x@y.z", "", "http://[::1]/"]
    assert hosts_of(pl.Series(urls))[:4].to_list() == ["a.evil.com", "b.org", None, None]


def test_subdomains_are_blocked_and_likenesses_are_not() -> None:
    """A blocked domain blocks what lies below it, not what ends in the same letters."""
    hosts = pl.Series(["evil.com", "a.b.evil.com", "notevil.com", "evil.com.org", None])
    assert blocked_hosts(hosts, frozenset({"evil.com"})).to_list() == [1, 1, 0, 0, 0]


def test_blocked_words_are_whole_words() -> None:
    """Phrases and words count once each, whatever case and punctuation; Chinese counts anywhere in the text."""
    texts = ["Bad, bad WORD!", "badly classed", "看这是色情内容", "a bad-word", ""]
    assert count_blocked(pl.Series(texts), ["bad", "bad word", "色情"]).to_list() == [2, 0, 1, 2, 0]


def test_no_list_blocks_nothing() -> None:
    """An empty list is not a pattern that fits everything."""
    assert count_blocked(pl.Series(["any text"]), []).to_list() == [0]


def test_safety_gives_the_first_reason() -> None:
    """Domain before words before toxicity before pornography; a page with none of them is kept."""
    pages = frame(
        ("http://evil.com/", "vile"),
        ("http://x.org/", "a bad vile page"),
        ("http://x.org/", "vile lewd"),
        ("http://x.org/", "lewd"),
        ("http://x.org/", "fine"),
    )
    classifiers = {"toxicity": Says("vile"), "pornography": Says("lewd")}
    blocked = Blocklists(frozenset({"evil.com"}), ("bad",))
    found = safety_verdicts(pages, SafetyConfig(), classifiers, blocked)
    assert found["reason"].to_list() == ["blocked_domain", "blocked_words", "toxicity", "pornography", ""]
    assert safety_verdicts(pages.clear(), SafetyConfig(), classifiers, blocked).is_empty()


def test_quality_gives_the_first_reason() -> None:
    """Adverts before fluency, each by its own threshold."""
    pages = frame(("", "buy"), ("", "wobble"), ("", "fine"))
    classifiers = {"advert": Says("buy"), "fluency": Says("wobble")}
    assert quality_verdicts(pages, QualityConfig(), classifiers)["reason"].to_list() == ["advert", "not_fluent", ""]
    lenient = QualityConfig(max_advert=0.95)
    assert quality_verdicts(pages, lenient, classifiers)["reason"].to_list() == ["", "not_fluent", ""]


def test_lists_are_read(tmp_path: Path) -> None:
    """Comments and empty lines are left out, compressed files are read, and of domains only those that can occur."""
    domains, words = tmp_path / "domains.txt.gz", tmp_path / "words.txt"
    domains.write_bytes(gzip.compress(b"# spam\nEvil.com\nother.net\n\n"))
    words.write_text("Bad Word\nbad\nbad\n")
    found = read_blocklists(str(domains), str(words), ["a.evil.com", "x.org"])
    assert found == Blocklists(frozenset({"evil.com"}), ("bad", "bad word"))


def test_a_changed_list_has_another_digest(tmp_path: Path) -> None:
    """So that what it filtered is built again."""
    path = tmp_path / "words.txt"
    path.write_text("one\n")
    before = digests(str(path))
    path.write_text("two\n")
    assert digests(str(path)) != before


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    """The error names the path; a file that breaks off is an error as well, not a shorter list."""
    with pytest.raises(InputError, match=r"missing\.txt: not there"):
        digests(str(tmp_path / "missing.txt"))
    cut = tmp_path / "cut.txt.gz"
    cut.write_bytes(gzip.compress(b"word\n" * 10_000)[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        list(entries(str(cut)))
