"""Near duplicates whose similarity is planned: the Jaccard similarity of the sets of word 5-grams. Pure."""

from __future__ import annotations

import re
from random import Random

NGRAM = 5
TOLERANCE = 0.01
MOST_TRIES = 100
_WORD = re.compile(r"\w+")


def shingles(text: str, n: int = NGRAM) -> set[tuple[str, ...]]:
    """The word n-grams of a text in lower case; one of all words where there are fewer."""
    words = _WORD.findall(text.lower())
    return {tuple(words[start : start + n]) for start in range(max(1, len(words) - n + 1))}


def exact_jaccard(one: str, other: str, n: int = NGRAM) -> float:
    """Shared n-grams over all n-grams of two texts."""
    first, second = shingles(one, n), shingles(other, n)
    return len(first & second) / len(first | second)


def near_duplicate(paragraphs: tuple[str, ...], jaccard: float, random: Random) -> tuple[tuple[str, ...], float]:
    """The text with words exchanged so that its similarity is as planned, and what it is exactly.

    Of G n-grams k are lost and k are new: J = (G - k) / (G + k). A word exchanged in the middle costs n of them, each
    word of a run at the beginning costs one: so any k is met. Exchanged words are words of the same text. Raises
    ValueError when the text is too short for the plan.
    """
    text = "\n".join(paragraphs)
    total = len(shingles(text))
    lost = round(total * (1 - jaccard) / (1 + jaccard))
    for _ in range(MOST_TRIES):
        edits, run = divmod(lost, NGRAM)
        changed = _exchanged(paragraphs, run, edits, random)
        exact = exact_jaccard(text, "\n".join(changed))
        if abs(exact - jaccard) <= TOLERANCE:
            return changed, exact
        # An n-gram that the text has twice is not lost with one of them.
        lost += 1 if exact > jaccard else -1
    raise ValueError(f"{total} n-grams cannot be brought to a similarity of {jaccard}: give a longer text")


def _exchanged(paragraphs: tuple[str, ...], run: int, edits: int, random: Random) -> tuple[str, ...]:
    """The first `run` words and `edits` others exchanged, each at least n words from the next."""
    tokens = [line.split(" ") for line in paragraphs]
    places = [(line, word) for line, words in enumerate(tokens) for word in range(len(words))]
    pool = [_WORD.findall(tokens[line][word])[0].lower() for line, word in places]
    # Free places beyond the n - 1 that follow each edit: draw among those, then put the gaps back in.
    first, last = run + NGRAM - 1, len(places) - NGRAM + 1
    free = last - first - (NGRAM - 1) * edits
    drawn = sorted(random.sample(range(free), edits))
    chosen = [*range(run), *(first + place + number * (NGRAM - 1) for number, place in enumerate(drawn))]
    for place in chosen:
        line, word = places[place]
        old = tokens[line][word]
        new = random.choice([each for each in pool if each != pool[place]])
        tokens[line][word] = _WORD.sub(new.capitalize() if old[0].isupper() else new, old, count=1)
    return tuple(" ".join(words) for words in tokens)
