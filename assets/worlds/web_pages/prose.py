"""Sentences, paragraphs and pages of clean text from the frames of a lexicon. Pure: the generator is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from assets.worlds.web_pages.lexicon import PROSE, SHARED, Lexicon, Topic, Words

_SLOT = re.compile(r"\[(\w+)\]")
_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou])")
# Sentences of a page and of a paragraph, so that a page has some 150 to 260 words.
PAGE_SENTENCES = (12, 19)
PARAGRAPH_SENTENCES = (3, 5)


@dataclass(frozen=True)
class Page:
    """What stands on a page: lines of text under a title."""

    title: str
    paragraphs: tuple[str, ...]
    topic: str

    @property
    def text(self) -> str:
        return "\n".join(self.paragraphs)


def sentence(frames: Words, topic: Topic, random: Random) -> str:
    """One frame with its slots filled."""
    words = {**SHARED, "noun": topic.noun, "verb": topic.verb, "adjective": topic.adjective, "place": topic.place}
    filled = _SLOT.sub(lambda slot: random.choice(words[slot[1]]), random.choice(frames))
    filled = _VOWEL.sub(r"\1n ", filled)
    return filled[0].upper() + filled[1:]


def paragraphs(sentences: Sequence[str], random: Random) -> tuple[str, ...]:
    """Sentences in paragraphs of three to five."""
    made, rest = [], list(sentences)
    while rest:
        size = random.randint(*PARAGRAPH_SENTENCES)
        made.append(" ".join(rest[:size]))
        rest = rest[size:]
    return tuple(made)


def clean_sentences(topic: Topic, random: Random) -> list[str]:
    """As many sentences of prose as a page has."""
    return [sentence(PROSE, topic, random) for _ in range(random.randint(*PAGE_SENTENCES))]


def title(topic: Topic, random: Random) -> str:
    return sentence(("The [adjective] [noun] of the [place]", "Of [noun] and [noun] [time]"), topic, random)


def clean_page(lexicon: Lexicon, random: Random) -> Page:
    """A page without a defect."""
    topic = random.choice(lexicon.topics)
    text = clean_sentences(topic, random)
    return Page(title(topic, random), paragraphs(text, random), topic.name)
