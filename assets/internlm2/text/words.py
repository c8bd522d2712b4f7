"""Measures over the words of many documents at once: counts, lengths, stop words, and repeated n-grams.

A word is what white space parts. In scripts that do not part words (Chinese, Japanese, Thai, ...) every character is
one, and such documents are `unspaced`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
WORD = rf"[{UNSPACED}]|[^\s{UNSPACED}]+"
# A word of an unspaced script has about two characters, so its n-grams are twice as long.
CHARACTERS_PER_WORD = 2

# Odd multipliers that spread the bits of hashes (those of Fibonacci hashing and of FNV-1a).
SPREAD, PRIME = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x100000001B3)

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]


def words_of(text: pl.Series) -> pl.DataFrame:
    """A row per word: `row` of its document, the `word`, and its `length` in characters; in the order of the text."""
    return (
        pl.DataFrame({"row": np.arange(len(text)), "word": text.str.extract_all(WORD)})
        .explode("word", empty_as_null=False)
        .with_columns(length=pl.col("word").str.len_chars().cast(pl.Int64))
    )


def word_measures(words: pl.DataFrame, rows: int) -> pl.DataFrame:
    """Per document: `words` (with a letter or digit), their `mean_length`, `alphabetic` share, and `unspaced`."""
    marks = words.select(
        letter=pl.col("word").str.contains(r"\p{L}"),
        counted=pl.col("word").str.contains(r"[\p{L}\p{N}]"),
        unspaced=pl.col("word").str.contains(rf"^[{UNSPACED}]$"),
    )
    row, counted = words["row"].to_numpy(), marks["counted"].to_numpy()

    def total(weights: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(row, weights=weights, minlength=rows).astype(np.float64)

    every = np.bincount(row, minlength=rows)
    count = total(counted)
    return pl.DataFrame(
        {
            "all_words": every,
            "words": count.astype(np.int64),
            "mean_length": total(words["length"].to_numpy() * counted) / np.maximum(count, 1),
            "alphabetic": total(marks["letter"].to_numpy()) / np.maximum(every, 1),
            "unspaced": total(marks["unspaced"].to_numpy()) * 2 > every,
        }
    )


def stop_words(words: pl.DataFrame, language: pl.Series, lists: Mapping[str, Sequence[str]]) -> pl.Series:
    """How many of its language's stop words a document holds (each once); null for a language without a list."""
    listed = pl.DataFrame(
        [{"language": name, "word": word} for name, listed in lists.items() for word in listed],
        schema={"language": pl.String, "word": pl.String},
    )
    documents = pl.DataFrame({"row": np.arange(len(language)), "language": language})
    found = (
        words.filter(pl.col("word").is_in(listed["word"].unique().implode()))
        .join(documents, on="row")
        .join(listed, on=["language", "word"])
        .group_by("row")
        .agg(stop_words=pl.col("word").n_unique())
    )
    has_list = pl.col("language").is_in(list(lists))
    return documents.join(found, on="row", how="left", maintain_order="left").select(
        pl.when(has_list).then(pl.col("stop_words").fill_null(0).cast(pl.Int64))
    )["stop_words"]


def repeated_ngrams(hashes: Hashes, row: Integers, longest: int) -> Iterator[tuple[int, Integers, Hashes]]:
    """For n = 2, 3, ..., the n-grams that come at least twice in their document: `n`, the places where they begin, and
    a key that is equal for equal ones. A longer n-gram comes twice only where a shorter one does: few are looked at."""
    places = np.arange(len(hashes))
    keys = row.astype(np.uint64) * SPREAD * PRIME + hashes
    for n in range(2, longest + 1):
        places, keys = _only(places + n <= len(hashes), places, keys)
        places, keys = _only(row[places + n - 1] == row[places], places, keys)
        keys = keys * PRIME + hashes[places + n - 1]
        places, keys = _only(pl.Series(keys).is_duplicated().to_numpy(), places, keys)
        yield n, places, keys


def _only(mask: NDArray[np.bool_], places: Integers, keys: Hashes) -> tuple[Integers, Hashes]:
    return places[mask], keys[mask]


def top_characters(
    places: Integers, keys: Hashes, row: Integers, ends: Integers, n: int, rows: int, blank: int
) -> Integers:
    """Per document, the characters of its most frequent n-gram, over all its places; between words are `blank` ones."""
    _, first, count = np.unique(keys, return_index=True, return_counts=True)
    begin = places[first]
    characters = count * (ends[begin + n] - ends[begin] + blank * (n - 1))
    order = np.lexsort((characters, count, row[begin]))
    last = order[np.flatnonzero(np.diff(row[begin][order], append=-1))]
    found = np.zeros(rows, dtype=np.int64)
    found[row[begin][last]] = characters[last]
    return found


def repeated_characters(places: Integers, keys: Hashes, row: Integers, ends: Integers, n: int, rows: int) -> Integers:
    """Per document, the characters inside n-grams that came before; overlapping ones count once (Gopher, A1.1)."""
    again = places[~pl.Series(keys).is_first_distinct().to_numpy()]
    words = len(row)
    begun = np.bincount(again, minlength=words + 1) - np.bincount(again + n, minlength=words + 1)
    covered = np.flatnonzero(np.cumsum(begun[:words]))
    length = ends[covered + 1] - ends[covered]
    return np.bincount(row[covered], weights=length, minlength=rows).astype(np.int64)


def repetition(words: pl.DataFrame, rows: int, top: Sequence[int], repeated: Sequence[int], blank: int) -> pl.DataFrame:
    """Characters per document in its most frequent n-gram (`top_<n>`) and in repeated n-grams (`repeated_<n>`), with
    `blank` characters between two words."""
    hashes, row = words["word"].hash(seed=0).to_numpy(), words["row"].to_numpy()
    ends = np.concatenate([[0], np.cumsum(words["length"].to_numpy())])
    found: dict[str, Integers] = {}
    for n, places, keys in repeated_ngrams(hashes, row, max([*top, *repeated], default=0)):
        if n in top:
            found[f"top_{n}"] = top_characters(places, keys, row, ends, n, rows, blank)
        if n in repeated:
            found[f"repeated_{n}"] = repeated_characters(places, keys, row, ends, n, rows)
    return pl.DataFrame(found, schema=[*(f"top_{n}" for n in top), *(f"repeated_{n}" for n in repeated)])
