"""Assets of InternLM2: the tokenizer and the tokenized corpus."""

from __future__ import annotations

import polars as pl

from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import CHEAP, Input, recipe
from assets.internlm2.config import TokenizerConfig
from assets.internlm2.tokenizer import encode, load_tokenizer, publish_tokenizer, train_tokenizer

ENCODING_BATCH = 1_000


@recipe(
    "internlm2/tokenizer",
    inputs={"documents": Input("corpora/clean_documents")},
    kind="checkpoint",
    ledger=False,
    checks=("bytes_survive",),
    tags={"stage": "tokenizer"},
)
def tokenizer(out: DatasetWriter, config: TokenizerConfig, documents: Dataset) -> None:
    """Byte-level BPE trained on the corpus: digits split, special tokens of the InternLM2 chat format."""
    texts = (text for batch in documents.batches("text") for text in batch["text"])
    trained = train_tokenizer(texts, vocab_size=config.vocab_size, min_frequency=config.min_frequency)
    publish_tokenizer(out, trained)


@recipe(
    "internlm2/tokens",
    inputs={"documents": Input("corpora/clean_documents"), "tokenizer": Input("internlm2/tokenizer")},
    tags={"stage": "tokenize"},
    automation=CHEAP,
)
def tokens(out: DatasetWriter, documents: Dataset, tokenizer: Dataset) -> None:
    """Every document as token ids of its content, without `<s>` and `</s>`."""
    trained = load_tokenizer(tokenizer.folder)
    n_bytes = n_tokens = 0
    for batch in documents.batches("id", "text", "n_bytes"):
        for rows in batch.iter_slices(ENCODING_BATCH):
            ids = encode(trained, rows["text"].to_list())
            frame = rows.select("id", "n_bytes").with_columns(
                tokens=pl.Series(ids, dtype=pl.List(pl.UInt32)), n_tokens=pl.Series([len(row) for row in ids])
            )
            out.ledger.rows_in += rows.height
            out.write(frame.select("id", "tokens", "n_tokens", "n_bytes"))
            n_bytes += int(rows["n_bytes"].sum())
            n_tokens += int(frame["n_tokens"].sum())
    out.describe(tokens=n_tokens, bytes_per_token=round(n_bytes / max(1, n_tokens), 3))
