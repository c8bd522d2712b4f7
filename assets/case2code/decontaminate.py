"""Training texts that repeat a test text: 13 words in a row, or all of a shorter one. No I/O.

Words are lower-case runs of letters, digits and underscores, as in GPT-3's decontamination (arXiv 2005.14165,
appendix C). A program of fewer than 13 words is compared whole and with its punctuation, white space apart: `x[1:]` and
`x[:1]` have equal words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set

N_WORDS = 13
_WORD = re.compile(r"\w+")


def text_grams(text: str, n: int = N_WORDS) -> set[str]:
    """Every run of `n` words, and the text itself where it has fewer."""
    words = _WORD.findall(text.lower())
    if len(words) < n:
        return {"".join(text.lower().split())} - {""}
    return {" ".join(words[start : start + n]) for start in range(len(words) - n + 1)}


def grams_of_test(test_texts: Iterable[str], shared_texts: Iterable[str] = (), n: int = N_WORDS) -> set[str]:
    """The grams of the test texts without those of `shared_texts`: what all prompts have in common by design."""
    grams = set().union(*(text_grams(text, n) for text in test_texts))
    return grams.difference(*(text_grams(text, n) for text in shared_texts))


def contaminated(training_texts: Iterable[str], grams: Set[str], n: int = N_WORDS) -> Iterator[str | None]:
    """For each training text the first gram, in order of the alphabet, that it shares with the test; None if clean.

    Texts are read one by one; only the grams of the test are held.
    """
    for text in training_texts:
        yield min(text_grams(text, n) & grams, default=None)
