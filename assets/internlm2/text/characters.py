"""How often each character occurs in a document: the shares of letters, digits, punctuation, symbols; the commonest."""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

# Bytes of UTF-8 that were read as Latin-1 or Windows-1252, and the mark that a failed decoding leaves.
MOJIBAKE = r"[ÃÂ][\u{80}-\u{BF}ƒ‚„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€|ï¿½|\u{FFFD}"


CLASSES = ("letters", "digits", "punctuation", "symbols")


# By the first letter of the Unicode category: marks go with letters, what has no meaning of its own with symbols.
CLASS_OF = {"L": 0, "M": 0, "N": 1, "P": 2, "S": 3, "C": 3, "Z": 3}


@cache
def character_class(code: int) -> int:
    """The place of a character's class in CLASSES; -1 for white space."""
    character = chr(code)
    return -1 if character.isspace() else CLASS_OF[unicodedata.category(character)[0]]


def character_counts(text: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The code points that occur in any document, and how often they occur in each [documents, code points]."""
    codes = np.frombuffer("".join(text).encode("utf-32-le"), dtype=np.uint32)
    seen = np.zeros(sys.maxunicode + 1, dtype=bool)
    seen[codes] = True
    column = np.cumsum(seen) - 1
    found = np.flatnonzero(seen)
    row = np.repeat(np.arange(len(text)) * len(found), text.str.len_chars())
    counts = np.bincount(row + column[codes], minlength=len(text) * len(found))
    return found.astype(np.uint32), counts.reshape(len(text), len(found))


def character_measures(text: pl.Series) -> pl.DataFrame:
    """Per document, the shares of each of CLASSES and of the `commonest` character in all but white space; null in a
    document that is nothing else."""
    codes, counts = character_counts(text)
    classes = np.array([character_class(int(code)) for code in codes], dtype=np.int64)
    counts, classes = counts[:, classes >= 0], classes[classes >= 0]
    total = counts.sum(1)
    shares = {name: counts[:, classes == index].sum(1) for index, name in enumerate(CLASSES)}
    shares["commonest"] = counts.max(1, initial=0)
    return pl.DataFrame(shares).select(pl.when(pl.lit(total) > 0).then(pl.all() / pl.lit(total)))
