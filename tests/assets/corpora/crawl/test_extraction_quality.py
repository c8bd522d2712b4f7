"""Extraction against the gold article bodies of real pages, by the measure of scrapinghub's extraction benchmark."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from assets.corpora.crawl.decode import decode
from assets.corpora.crawl.extract import Extraction, main_text
from assets.corpora.crawl.schema import Capture, Page
from tests.assets.corpora.crawl.tiny_warc import captures, pages

FOLDER = Path(__file__).parents[5] / "shared" / "data" / "corpus"
ARTICLES = FOLDER / "web_articles_html.tar"
TRUTH = FOLDER / "web_articles_ground_truth.json.gz"
TOKEN = re.compile(r"\w+")


def shingles(text: str, n: int = 4) -> Counter[tuple[str, ...]]:
    tokens = TOKEN.findall(text)
    return Counter(tuple(tokens[i : i + n]) for i in range(max(1, len(tokens) - n + 1)) if tokens[i : i + n])


def scores(pairs: list[tuple[str, str]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of (gold, found) texts: means over pages, then their harmonic mean."""
    precisions, recalls = [], []
    for gold, found in pairs:
        wanted, got = shingles(gold), shingles(found)
        both = (wanted & got).total()
        if got:
            precisions.append(both / got.total())
        if wanted:
            recalls.append(both / wanted.total())
    precision, recall = mean(precisions), mean(recalls)
    return precision, recall, 2 * precision * recall / (precision + recall)


@pytest.fixture(scope="module")
def articles() -> list[tuple[str, bytes]]:
    """Gold article body and HTML of each page."""
    if not ARTICLES.exists():
        pytest.skip(f"{ARTICLES} is not there: the pages of the benchmark are no part of this project")
    truth = json.loads(gzip.decompress(TRUTH.read_bytes()))
    with tarfile.open(ARTICLES) as archive:
        names = [Path(member.name).name.split(".")[0] for member in archive if member.isfile()]
    contents = [each.content for each in captures(ARTICLES) if isinstance(each, Capture)]
    assert len(contents) == len(truth) == 91
    return [(truth[name]["articleBody"], content) for name, content in zip(names, contents, strict=True)]


def test_the_measure_is_the_benchmarks() -> None:
    """Of two shingles of four words one is found, with one too many: worked out by hand."""
    assert scores([("a b c d e", "a b c d f")]) == (0.5, 0.5, 0.5)
    assert scores([("a b c d", "a b c d"), ("a b c d", "")]) == (1, 0.5, pytest.approx(2 / 3))


@pytest.mark.parametrize("favour", ["balanced", pytest.param("precision", marks=pytest.mark.slow)])
def test_extraction_is_as_good_as_the_extractor(articles: list[tuple[str, bytes]], favour: str) -> None:
    """On 91 real pages no worse than trafilatura with the same setting and its own decoding, and above 0.95."""
    from trafilatura import extract

    settings = Extraction(favour=favour)  # type: ignore[arg-type]
    ours = scores([(gold, main_text(decode(html), settings)[1]) for gold, html in articles])
    theirs = scores([(gold, extract(html, favor_precision=favour == "precision") or "") for gold, html in articles])
    assert ours[2] >= theirs[2]
    assert ours[2] > 0.95


def test_a_page_of_common_crawl() -> None:
    """The same page from WARC and from WET: one address and time; the extracted text is part of the crawler's."""
    warc, wet = FOLDER / "whirlwind.warc.gz", FOLDER / "whirlwind.warc.wet.gz"
    if not warc.exists():
        pytest.skip(f"{warc} is not there: Common Crawl's records are no part of this project")
    [extracted], [converted] = pages(warc), pages(wet)
    assert isinstance(extracted, Page)
    assert isinstance(converted, Page)
    for found in (extracted, converted):
        assert (found.url, found.domain) == ("https://an.wikipedia.org/wiki/Escopete", "wikipedia.org")
        assert (found.timestamp, found.dump) == ("2024-05-18T01:58:10Z", "2024-22")
    assert extracted.title == "Escopete"
    words = set(TOKEN.findall(extracted.text))
    assert len(words & set(TOKEN.findall(converted.text))) > 0.95 * len(words)
    assert len(extracted.text) < len(converted.text)
