"""An index over texts of evaluation sets, and the training texts that repeat them. No I/O.

A training text overlaps an evaluation text where both have
- `ngram`: n words in a row (13, as in GPT-3's decontamination, arXiv 2005.14165, appendix C);
- `whole`: for an evaluation text of fewer words, all of it, as the training text or as one line of it, with the same
  arithmetic signs (other punctuation does not matter);
- `formula`: the same arithmetic, of at least so many operations. Small formulas collide, so this is told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from assets.core.decontamination.normalise import formula_key, whole_key, words

if TYPE_CHECKING:
    import polars as pl

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]
N_WORDS: Final = 13
# An odd multiplier: the polynomial of n hashes of words keeps their order.
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_SEED: Final = 13
# Texts whose words are in memory at a time, and one text at least: some ten times as much memory. Bytes; our default.
_SLICE_BYTES: Final = 16_000_000
COLUMNS: Final = ("id", "evaluation_set", "evaluation_id", "kind", "evidence")


@dataclass(frozen=True)
class Rules:
    """What counts as an overlap. Values but the 13 words are our defaults.

    `min_tokens`: a shorter evaluation text (words and operators) is not looked for: "42" is everywhere.
    `min_operations`: a formula of fewer is not looked for; 0 looks for none.
    """

    n_words: int = N_WORDS
    min_tokens: int = 5
    min_operations: int = 3


DEFAULT: Final = Rules()


@dataclass(frozen=True)
class EvaluationIndex:
    """N-grams, short texts and formulas of evaluation texts. Memory and time are linear in their words.

    `grams` are sorted hashes of 64 bits, each with the place of its first word in `words` and its item, a row of
    `items` (evaluation_set, evaluation_id). `whole` and `formulas` map a key to its item. `n_short` texts are shorter
    than what is looked for.
    """

    rules: Rules
    items: pl.DataFrame
    words: pl.Series
    grams: Hashes
    places: Places
    of_gram: Places
    whole: pl.DataFrame
    formulas: pl.DataFrame
    n_short: int

    @classmethod
    def build(cls, texts: pl.DataFrame, rules: Rules = DEFAULT) -> EvaluationIndex:
        """The index of texts (evaluation_set, evaluation_id, text). What several texts share is told of the first."""
        import polars as pl

        flat, rows = _flat_words(texts["text"])
        hashes, places = _grams(flat, rows, rules.n_words)
        grams, first = np.unique(hashes, return_index=True)
        places = places[first]
        keyed = texts.select(
            item=pl.int_range(pl.len()),
            n_words=pl.Series(np.bincount(rows, minlength=texts.height)),
            whole=whole_key(pl.col("text")),
            formula=formula_key(pl.col("text")) if rules.min_operations else pl.lit(""),
        )
        short = keyed.filter(pl.col("n_words") < rules.n_words)
        long_enough = pl.col("whole").str.count_matches(" ") + 1 >= rules.min_tokens
        whole = short.filter(long_enough).select("item", key="whole")
        counted = pl.col("formula").str.count_matches(r"[-+*/^]") >= max(1, rules.min_operations)
        return cls(
            rules,
            texts.select("evaluation_set", "evaluation_id"),
            flat,
            grams,
            places,
            rows[places],
            _first(whole),
            _first(keyed.filter(counted).select("item", key="formula")),
            short.height - whole.height,
        )

    def find(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Overlaps of texts (id, text) whose words fit into memory at once: a frame of COLUMNS for each kind."""
        yield self._named(self._shared_grams(rows), "ngram")
        if self.whole.height:
            yield self._named(self._equal_lines(rows), "whole")
        if self.formulas.height:
            yield self._named(self._equal_formulas(rows), "formula")

    def _shared_grams(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The first shared n-gram of each pair."""
        import polars as pl

        n = self.rules.n_words
        flat, of_row = _flat_words(rows["text"])
        hashes, places = _grams(flat, of_row, n)
        at = np.minimum(np.searchsorted(self.grams, hashes), max(0, len(self.grams) - 1))
        hits = np.flatnonzero(self.grams[at] == hashes) if len(self.grams) else np.zeros(0, dtype=np.int64)
        pairs = np.stack([of_row[places[hits]], self.of_gram[at[hits]]], axis=1)
        _, first = np.unique(pairs, axis=0, return_index=True)
        names = rows["id"].gather(pairs[first, 0]).to_list()
        found = []
        for name, item, hit in zip(names, pairs[first, 1].tolist(), hits[first].tolist(), strict=True):
            shared = flat.slice(int(places[hit]), n).to_list()
            # Equal hashes are not yet equal words.
            if shared == self.words.slice(int(self.places[at[hit]]), n).to_list():
                found.append({"id": name, "item": item, "evidence": " ".join(shared)})
        return pl.DataFrame(found, schema={"id": pl.String, "item": pl.Int64, "evidence": pl.String})

    def _equal_lines(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        lines = rows.select("id", text=pl.concat_list(pl.concat_list("text"), pl.col("text").str.split("\n")))
        keys = lines.explode("text").select("id", key=whole_key(pl.col("text")))
        return self._with_key(keys, self.whole)

    def _equal_formulas(self, rows: pl.DataFrame) -> pl.DataFrame:
        import polars as pl

        return self._with_key(rows.select("id", key=formula_key(pl.col("text"))), self.formulas)

    @staticmethod
    def _with_key(keys: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
        """The rows whose key is known, in their order."""
        return keys.join(known, on="key", maintain_order="left").select("id", "item", evidence="key")

    def _named(self, rows: pl.DataFrame, kind: str) -> pl.DataFrame:
        """COLUMNS of rows of (id, item, evidence)."""
        import polars as pl

        items = self.items.with_columns(item=pl.int_range(pl.len()))
        named = rows.join(items, on="item", maintain_order="left").with_columns(kind=pl.lit(kind))
        return named.select(COLUMNS)


def overlaps(frame: pl.DataFrame, index: EvaluationIndex) -> pl.DataFrame:
    """Overlaps of training texts (id, text): COLUMNS, in the order of the texts, each pair and kind once.

    `evidence` are the words, or the key, that both have: the first in the training text.
    """
    import polars as pl

    # As Int64: the sum of what Polars gives, UInt32, ends at 4 GB.
    begin = pl.col("text").str.len_bytes().cast(pl.Int64).cum_sum() // _SLICE_BYTES
    slices = frame.with_columns(slice=begin).partition_by("slice", maintain_order=True, include_key=False)
    found = [each for rows in slices for each in index.find(rows)]
    empty = pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))
    return pl.concat([empty, *found]).unique(("id", "evaluation_set", "evaluation_id", "kind"), maintain_order=True)


def _flat_words(texts: pl.Series) -> tuple[pl.Series, Places]:
    """All words of all texts one after another, and the row that each is of."""
    import polars as pl

    found = texts.to_frame("text").select(words=words(pl.col("text")), row=pl.int_range(pl.len()))
    found = found.filter(pl.col("words").list.len() > 0).explode("words")
    return found["words"], found["row"].to_numpy()


def _grams(flat: pl.Series, rows: Places, n: int) -> tuple[Hashes, Places]:
    """The hash of every n words in a row of one text, and the place of the first of them."""
    count = len(flat) - n + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    each = flat.hash(_SEED).to_numpy()
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(n):
        hashes = hashes * _BASE + each[offset : offset + count]
    places = np.flatnonzero(rows[:count] == rows[n - 1 :])
    return hashes[places], places


def _first(keyed: pl.DataFrame) -> pl.DataFrame:
    return keyed.unique("key", keep="first", maintain_order=True)
