"""Planted defects: each page has what its name says, and a clean page has none of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from assets.worlds.web_pages import defects
from assets.worlds.web_pages.lexicon import BLOCKED_WORDS, BOILERPLATE, SEEN, SHARED, SYMBOLS, UNSEEN, Lexicon
from assets.worlds.web_pages.prose import Page, clean_page

SEEDS = range(30)


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def holds(words: tuple[str, ...]) -> Callable[[str], int]:
    return lambda text: sum(word in words for word in words_of(text))


PROPERTIES: dict[str, Callable[[str], bool]] = {
    "boilerplate": lambda text: all(line in BOILERPLATE for line in text.split("\n")),
    "symbol_soup": lambda text: sum(word in SYMBOLS for word in text.split()) > 0.2 * len(text.split()),
    "repeated_lines": lambda text: len(text.split("\n")) >= 4 * len(set(text.split("\n"))),
    "no_punctuation": lambda text: not set(text) & set(".,;:!?"),
    "too_short": lambda text: len(text.split()) < 30,
    "bullet_list": lambda text: all(line.startswith("- ") for line in text.split("\n")),
    "toxic": lambda text: holds(SHARED["insult"])(text) >= 3,
    "pornographic": lambda text: holds(SHARED["body"])(text) >= 3,
    "blocked_word": lambda text: holds(BLOCKED_WORDS)(text) == 3,
    "advert_whole": lambda text: holds(tuple(word.lower() for word in SHARED["brand"]))(text) >= 9,
    "advert_partial": lambda text: 2 <= holds(tuple(word.lower() for word in SHARED["brand"]))(text) <= 4,
}


@pytest.mark.parametrize("lexicon", [SEEN, UNSEEN], ids=["seen", "unseen"])
@pytest.mark.parametrize("defect", PROPERTIES)
def test_a_defect_is_there_and_clean_pages_lack_it(defect: str, lexicon: Lexicon) -> None:
    """The truth of the world, by means that do not know how a page was made."""
    has = PROPERTIES[defect]
    for seed in SEEDS:
        assert has(defects.PLANTS[defect](lexicon, Random(seed)).text)
        assert not has(clean_page(lexicon, Random(seed)).text)


def test_every_defect_is_told_from_clean_pages() -> None:
    """Shuffled segments have a test of their own below."""
    assert PROPERTIES.keys() | {"shuffled"} == defects.PLANTS.keys()


def test_shuffled_pages_have_the_words_of_a_clean_page_in_another_order() -> None:
    """Nothing but the order tells a page that is not fluent: words, sentence lengths and punctuation are as before."""
    for seed in SEEDS:
        clean, moved = clean_page(SEEN, Random(seed)), defects.shuffled(SEEN, Random(seed))
        assert Counter(words_of(clean.text)) == Counter(words_of(moved.text))
        assert clean.text != moved.text
        assert re.sub(r"\w+", "", clean.text) == re.sub(r"\w+", "", moved.text)


def test_clean_pages_have_no_word_of_the_lists() -> None:
    """Else a stage that removes a clean page would be right."""
    listed = {*BLOCKED_WORDS, *SHARED["insult"], *SHARED["body"]}
    for lexicon in (SEEN, UNSEEN):
        pages: list[Page] = [clean_page(lexicon, Random(seed)) for seed in SEEDS]
        assert not {word for page in pages for word in words_of(page.text)} & listed
