"""Planting a defect: each function makes a page that one stage of the pipeline should remove. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from assets.worlds.web_pages.lexicon import BLOCKED_WORDS, BOILERPLATE, PROSE, SYMBOLS, Lexicon, Topic, Words
from assets.worlds.web_pages.prose import Page, clean_page, clean_sentences, paragraphs, sentence, title

Plant = Callable[[Lexicon, Random], Page]
# Words of a segment that is moved as a whole.
SEGMENT_WORDS = (2, 5)


def _page(lexicon: Lexicon, random: Random, lines: Callable[[Topic], tuple[str, ...]]) -> Page:
    """A page of a topic, whose lines are made of the topic."""
    topic = random.choice(lexicon.topics)
    return Page(title(topic, random), lines(topic), topic.name)


def _strewn(lexicon: Lexicon, frames: Words, count: tuple[int, int], random: Random) -> Page:
    """Prose in which some sentences are of other frames."""

    def lines(topic: Topic) -> tuple[str, ...]:
        text = clean_sentences(topic, random)
        for place in random.sample(range(len(text)), random.randint(*count)):
            text[place] = sentence(frames, topic, random)
        return paragraphs(text, random)

    return _page(lexicon, random, lines)


def advert_whole(lexicon: Lexicon, random: Random) -> Page:
    """Nothing but adverts."""

    def lines(topic: Topic) -> tuple[str, ...]:
        return paragraphs([sentence(lexicon.advert, topic, random) for _ in range(random.randint(9, 14))], random)

    return _page(lexicon, random, lines)


def advert_partial(lexicon: Lexicon, random: Random) -> Page:
    """Prose with two to four sentences of advertising."""
    return _strewn(lexicon, lexicon.advert, (2, 4), random)


def toxic(lexicon: Lexicon, random: Random) -> Page:
    """Prose with insults."""
    return _strewn(lexicon, lexicon.insult, (3, 6), random)


def pornographic(lexicon: Lexicon, random: Random) -> Page:
    """Prose with intimate scenes."""
    return _strewn(lexicon, lexicon.intimate, (3, 6), random)


def blocked_word(lexicon: Lexicon, random: Random) -> Page:
    """Prose in which three words are on the block list."""
    page = clean_page(lexicon, random)
    words = [line.split(" ") for line in page.paragraphs]
    for _ in range(3):
        line = random.choice(words)
        line.insert(random.randrange(1, len(line)), random.choice(BLOCKED_WORDS))
    return Page(page.title, tuple(" ".join(line) for line in words), page.topic)


def shuffled(lexicon: Lexicon, random: Random) -> Page:
    """Segments of two to five words in another order, under the sentences' old lengths and punctuation."""
    page = clean_page(lexicon, random)
    words = [word.strip(",;:.").lower() for line in page.paragraphs for word in line.split()]
    segments = []
    while words:
        size = random.randint(*SEGMENT_WORDS)
        segments.append(words[:size])
        words = words[size:]
    random.shuffle(segments)
    moved = iter([word for segment in segments for word in segment])
    lines = tuple(" ".join(_dressed(next(moved), word) for word in line.split()) for line in page.paragraphs)
    return Page(page.title, lines, page.topic)


def _dressed(word: str, like: str) -> str:
    """A word with the capital and the punctuation of another."""
    bare = like.rstrip(",;:.")
    return (word.capitalize() if bare[:1].isupper() else word) + like[len(bare) :]


def symbol_soup(lexicon: Lexicon, random: Random) -> Page:
    """Prose in which every second or third word is a symbol."""
    page = clean_page(lexicon, random)
    lines = tuple(
        " ".join(random.choice(SYMBOLS) if random.random() < 0.4 else word for word in line.split())
        for line in page.paragraphs
    )
    return Page(page.title, lines, page.topic)


def repeated_lines(lexicon: Lexicon, random: Random) -> Page:
    """Two or three lines over and over."""

    def lines(topic: Topic) -> tuple[str, ...]:
        some = [sentence(PROSE, topic, random) for _ in range(random.randint(2, 3))]
        return tuple(some * random.randint(6, 9))

    return _page(lexicon, random, lines)


def no_punctuation(lexicon: Lexicon, random: Random) -> Page:
    """Words without any punctuation or capital."""
    page = clean_page(lexicon, random)
    lines = tuple(line.translate(str.maketrans("", "", ",;:.")).lower() for line in page.paragraphs)
    return Page(page.title, lines, page.topic)


def too_short(lexicon: Lexicon, random: Random) -> Page:
    """One sentence."""
    return _page(lexicon, random, lambda topic: (sentence(PROSE, topic, random),))


def bullet_list(lexicon: Lexicon, random: Random) -> Page:
    """Every line a bullet."""

    def lines(topic: Topic) -> tuple[str, ...]:
        return tuple(f"- {sentence(PROSE, topic, random)}" for _ in range(random.randint(10, 16)))

    return _page(lexicon, random, lines)


def boilerplate(lexicon: Lexicon, random: Random) -> Page:
    """Lines of cookie notices, log-in forms and the like where the text should be."""
    return _page(lexicon, random, lambda topic: tuple(random.sample(BOILERPLATE, random.randint(9, 14))))


# By the stage that should remove it: each defect that lies in the page itself, and how it is planted.
RULES: Mapping[str, Plant] = {
    "boilerplate": boilerplate,
    "symbol_soup": symbol_soup,
    "repeated_lines": repeated_lines,
    "no_punctuation": no_punctuation,
    "too_short": too_short,
    "bullet_list": bullet_list,
}
SAFETY: Mapping[str, Plant] = {"toxic": toxic, "pornographic": pornographic, "blocked_word": blocked_word}
QUALITY: Mapping[str, Plant] = {"advert_whole": advert_whole, "advert_partial": advert_partial, "shuffled": shuffled}
PLANTS: Mapping[str, Plant] = {**RULES, **SAFETY, **QUALITY}
# What each classifier is taught to find; adverts are found whole and in part (paper, §3.1.1).
TASKS: Mapping[str, tuple[Plant, ...]] = {
    "advert": (advert_whole, advert_partial),
    "fluency": (shuffled,),
    "toxicity": (toxic,),
    "pornography": (pornographic,),
}
