"""Passages of a collection, and which of them are held out. No I/O.

The origin of a passage (package and module) is a label for evaluation: only this module and the measures look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import polars as pl

from assets.core.ids import content_id

HASH_STEPS = 16**8
PASSAGES = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "url": pl.String(),
        "package": pl.String(),
        "module": pl.String(),
        "in_domain": pl.Boolean(),
        "text": pl.String(),
        "n_words": pl.Int64(),
        "n_bytes": pl.Int64(),
    }
)


class Split(NamedTuple):
    """Passages with their labels, and the number of pieces that were too short to be one."""

    passages: pl.DataFrame
    short: int


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


def is_in_domain(package: str, module: str, domain: Sequence[str]) -> bool:
    """Whether a package (of a page: its web domain) or module is one of the domain's, or the module lies in one of
    them: `scipy.stats._qmc` lies in `scipy.stats`."""
    return package in domain or any(module == name or module.startswith(f"{name}.") for name in domain)


def is_heldout(module: str, share: float, seed: int) -> bool:
    """Whether all of a module is held out: `share` of all names, by a hash of the name."""
    return int(content_id("heldout", str(seed), module)[:8], 16) < share * HASH_STEPS


def passages_frame(documents: pl.DataFrame, *, n_words: int, min_words: int, domain: Sequence[str]) -> Split:
    """The passages of documents (id, package, module, text), and how many were shorter than `min_words` words.

    `url` is the module of a document from the web, else "".
    """
    rows, short = [], 0
    for name, package, module, text in documents.select("id", "package", "module", "text").iter_rows():
        url, in_domain = module if "://" in module else "", is_in_domain(package, module, domain)
        for passage in split_passages(text, n_words):
            words = len(passage.split())
            if words < min_words:
                short += 1
                continue
            made_id = content_id("passage", passage)
            rows.append((made_id, [name], url, package, module, in_domain, passage, words, len(passage.encode())))
    return Split(pl.DataFrame(rows, schema=PASSAGES, orient="row"), short)
