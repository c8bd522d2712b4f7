"""Passages of a collection, and which of them are held out. No I/O.

The origin of a passage (package and module) is a label for evaluation: only this module and the measures look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from assets.core.ids import content_id

HASH_STEPS = 16**8


def split_passages(text: str, n_words: int) -> Iterator[str]:
    """Consecutive pieces of about `n_words` words, cut between paragraphs, else lines, else words."""
    taken: list[str] = []
    size = 0
    for piece in _pieces(text, n_words):
        words = len(piece.split())
        if taken and size + words > n_words:
            yield "".join(taken).strip()
            taken, size = [], 0
        taken.append(piece)
        size += words
    if size:
        yield "".join(taken).strip()


def _pieces(text: str, n_words: int) -> Iterator[str]:
    """Paragraphs with their white space; of a paragraph that is too long the lines, of such a line the words."""
    for paragraph in _kept_ends(text, "\n\n"):
        if len(paragraph.split()) <= n_words:
            yield paragraph
            continue
        for line in _kept_ends(paragraph, "\n"):
            words = line.split()
            if len(words) <= n_words:
                yield line
            else:
                yield from (" ".join(words[start : start + n_words]) + "\n" for start in range(0, len(words), n_words))


def _kept_ends(text: str, end: str) -> Iterable[str]:
    return (part + end for part in text.split(end))


def is_in_domain(module: str, domain_modules: Sequence[str]) -> bool:
    """Whether a module is one of the domain's, or lies in one: `scipy.stats._qmc` lies in `scipy.stats`."""
    return any(module == name or module.startswith(f"{name}.") for name in domain_modules)


def is_heldout(module: str, share: float, seed: int) -> bool:
    """Whether all of a module is held out: `share` of all names, by a hash of the name."""
    return int(content_id("heldout", str(seed), module)[:8], 16) < share * HASH_STEPS
