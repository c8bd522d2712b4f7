"""Passages and queries for retrieval.py: generated ones of any number, and those of Python's own documentation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

BATCH = 20_000
VOCABULARY = 500_000
# Words of a generated passage: from, to.
LENGTHS = (60, 140)
# The keywords of short queries: neither the commonest words nor the rarest.
KEYWORDS = (100, 50_000)
SHORT, LONG = 3, 60


def vocabulary() -> pl.Series:
    """Distinct words of three to six letters, in a fixed order."""
    numbers = np.random.default_rng(0).choice(26**6, VOCABULARY, replace=False)
    letters = np.stack([97 + numbers // 26**place % 26 for place in range(6)], axis=1).astype(np.uint8)
    return pl.Series([bytes(row).decode() for row in letters])


class Zipf:
    """Words whose frequency falls with their rank: the word of rank r has a share proportional to 1 / r."""

    def __init__(self) -> None:
        self.words = vocabulary()
        shares = 1 / np.arange(1, VOCABULARY + 1)
        self.cumulative = np.cumsum(shares) / shares.sum()

    def texts(self, lengths: np.ndarray, random: np.random.Generator) -> pl.Series:
        ranks = np.searchsorted(self.cumulative, random.random(lengths.sum()))
        return self.join(ranks, lengths)

    def join(self, ranks: np.ndarray, lengths: np.ndarray) -> pl.Series:
        table = pl.DataFrame({"text": np.repeat(np.arange(len(lengths)), lengths), "word": self.words.gather(ranks)})
        return table.group_by("text", maintain_order=True).agg(pl.col("word").str.join(" "))["word"]

    def passages(self, number: int) -> Iterator[pl.DataFrame]:
        """Passages batch by batch; a batch is a function of its place."""
        for start in range(0, number, BATCH):
            random = np.random.default_rng([1, start])
            lengths = random.integers(*LENGTHS, min(BATCH, number - start), endpoint=True)
            ids = random.permutation(len(lengths)) + start
            yield pl.DataFrame({"id": [f"{id_:032x}" for id_ in ids], "text": self.texts(lengths, random)})

    def queries(self, number: int) -> dict[str, pl.DataFrame]:
        random = np.random.default_rng(2)
        keywords = np.exp(random.uniform(*np.log(KEYWORDS), number * SHORT)).astype(np.int64)
        return {
            "short": pl.DataFrame({"text": self.join(keywords, np.full(number, SHORT))}),
            "long": pl.DataFrame({"text": self.texts(np.full(number, LONG), random)}),
        }


def library_passages(words: int = 100) -> pl.DataFrame:
    """Docstrings and help topics of Python's library in passages of about 100 words."""
    from assets.corpora.python_library import read_python_library

    texts = (row.text.split() for row in read_python_library(1_000_000) if hasattr(row, "text"))
    passages = [text[at : at + words] for text in texts for at in range(0, len(text), words)]
    return pl.DataFrame({"id": [f"{n:032x}" for n in range(len(passages))], "text": [" ".join(p) for p in passages]})


def library_queries(passages: pl.DataFrame, number: int) -> dict[str, pl.DataFrame]:
    """Three longer words of a passage, and 60 words in a row."""
    random = np.random.default_rng(3)
    chosen = passages.sample(number, seed=3, with_replacement=True)["text"]
    keywords = [[word for word in text.split() if word.isalpha() and len(word) > 3] or ["python"] for text in chosen]
    return {
        "short": pl.DataFrame({"text": [" ".join(random.choice(words, SHORT)) for words in keywords]}),
        "long": pl.DataFrame({"text": [" ".join(text.split()[:LONG]) for text in chosen]}),
    }
