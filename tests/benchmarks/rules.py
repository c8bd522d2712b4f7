"""The rules on pages against datatrove's filters. `make bench NAME=rules`.

The same documents, texts in memory to verdicts, one core each. Ours are all rules (Gopher, C4, FineWeb, characters);
the peer's are its Gopher quality, Gopher repetition, C4 and FineWeb filters, each over every document as ours are, with
words split at white space and sentences by a regular expression: its own splitters would be slower.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import re
import sys

import click
import polars as pl
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    c4_filters,
    fineweb_quality_filter,
    gopher_quality_filter,
    gopher_repetition_filter,
)

from assets.corpora.python_library import read_python_library
from assets.corpora.schema import Document as Unit
from assets.internlm2.text.config import RulesConfig
from assets.internlm2.text.normalise import normalise
from assets.internlm2.text.rules import SENTENCE_END, rule_verdicts
from tests.benchmarks.report import alternated, closing_line, conditions

DOCUMENT_UNITS = 6  # pieces of the standard library's documentation to a page, about 3 kB
FRAME_ROWS = 1_000


def documents(megabytes: float) -> pl.DataFrame:
    """Pages of the prose that every Python carries, so many bytes of it, over and over if need be."""
    units = [row.text for row in read_python_library(4096) if isinstance(row, Unit) and row.kind == "prose"]
    pages = ["\n\n".join(units[start : start + DOCUMENT_UNITS]) for start in range(0, len(units), DOCUMENT_UNITS)]
    repeated = -(-int(megabytes * 1e6) // sum(len(page.encode()) for page in pages))
    texts = pl.Series("text", pages * repeated)
    chosen = texts.filter(texts.str.len_bytes().cum_sum() <= megabytes * 1e6)
    frame = (
        pl.DataFrame({"text": chosen})
        .with_row_index("id")
        .with_columns(pl.col("id").cast(pl.String), language=pl.lit("en"), n_bytes=0)
    )
    return normalise(frame)


def peers() -> list[C4QualityFilter | FineWebQualityFilter | GopherQualityFilter | GopherRepetitionFilter]:
    ends = re.compile(SENTENCE_END)
    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        module.split_into_words = lambda text, language: text.split()
    c4_filters.split_into_sentences = lambda text, language: ends.findall(text)
    return [GopherQualityFilter(), GopherRepetitionFilter(), C4QualityFilter(), FineWebQualityFilter()]


@click.command()
@click.option("--megabytes", default=8.0, help="Text to judge.")
@click.option("--rounds", default=5)
def main(megabytes: float, rounds: int) -> None:
    print(conditions("polars", "datatrove"))
    frame, filters = documents(megabytes), peers()
    config, size = RulesConfig(), float(frame["text"].str.len_bytes().sum()) / 1e6
    texts = frame["text"].to_list()

    def ours() -> int:
        return sum((rule_verdicts(rows, config)["reason"] != "").sum() for rows in frame.iter_slices(FRAME_ROWS))

    def peer() -> int:
        return sum(
            not all([each.filter(Document(text=text, id="")) is True for each in filters])  # noqa: C419 (no short cut)
            for text in texts
        )

    print(f"{frame.height:,} documents, {size:.1f} MB; dropped: {ours():,} by us, {peer():,} by the peer")
    seconds, peer_seconds = alternated(ours, peer, rounds)
    print(
        closing_line(
            "rules against datatrove", peer_seconds / seconds,
            f"{size / seconds:.1f} MB/s", f"{size / peer_seconds:.1f} MB/s",
        )
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
