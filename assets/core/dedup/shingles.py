"""What a document is compared by: the set of n-grams of its tokens.

Tokens are found by one rule from a table of classes of characters: a run of WORD characters is a token, a character of
class ALONE is a token by itself, and BETWEEN characters only separate. A document of fewer tokens than an n-gram has is
one shingle of all its tokens; a document without any token is one shingle of its whole text.

`words`: the text is lower-cased; WORD are letters, digits, combining marks and `_`; those of scripts written without
spaces are ALONE, or a whole Chinese sentence would be one word; everything else is BETWEEN.
`code`: the text stays as it is; WORD are the same; every other visible character is ALONE; blanks are BETWEEN. So
indentation by two or four spaces or a tab, trailing blanks, blank lines and blanks around operators do not count.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from assets.core.dedup.plan import MinHashPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Uint32s = NDArray[np.uint32]
    Uint8s = NDArray[np.uint8]

BETWEEN, WORD, ALONE = 0, 1, 2

# Thai, Lao, Myanmar, Khmer, kana, Han and its extensions (blocks of the Unicode standard).
WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


@cache
def character_classes(tokens: str) -> Uint8s:
    """The class of each code point, `[0x110000]`, for `words` or `code`."""
    import numpy as np

    characters = np.arange(0x110000, dtype=np.uint32).view("<U1")
    letters = np.strings.isalnum(characters)
    letters[[code for code in range(0x20000) if unicodedata.category(chr(code))[0] == "M" or code == ord("_")]] = True
    classes = np.where(letters, WORD, BETWEEN).astype(np.uint8)
    if tokens == "code":
        visible = ~letters & ~np.strings.isspace(characters)
        visible[: ord(" ")] = False
        classes[visible] = ALONE
    for first, last in WITHOUT_SPACES:
        block = classes[first : last + 1]
        block[block == WORD] = ALONE
    return classes


def tokenize(text: str, plan: MinHashPlan) -> list[str]:
    """The tokens of a text, one after another: the definition that the fast signatures are tested against."""
    classes = character_classes(plan.tokens)
    found: list[str] = []
    joins = False
    for character in text.lower() if plan.tokens == "words" else text:
        kind = classes[ord(character)]
        if kind == WORD and joins:
            found[-1] += character
        elif kind != BETWEEN:
            found.append(character)
        joins = kind == WORD
    return found


def shingles(text: str, plan: MinHashPlan) -> set[tuple[str, ...]]:
    """The set of n-grams by which a text is compared; never empty."""
    found = tokenize(text, plan) or [text.lower() if plan.tokens == "words" else text]
    n_shingles = max(1, len(found) - plan.ngram + 1)
    return {tuple(found[start : start + plan.ngram]) for start in range(n_shingles)}


def jaccard(left: str, right: str, plan: MinHashPlan) -> float:
    """Exact Jaccard similarity of two texts: shared shingles over all shingles. What signatures estimate."""
    first, second = shingles(left, plan), shingles(right, plan)
    return len(first & second) / len(first | second)
