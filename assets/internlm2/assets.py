"""Assets of InternLM2: the tokenizer and the tokenized corpus."""

from __future__ import annotations

from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import CHEAP, Input, recipe
from assets.internlm2.config import TokenizerConfig
from assets.internlm2.tokenizer import load_tokenizer, publish_tokenizer, train_tokenizer, write_tokens


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
    write_tokens(out, documents.batches("id", "text", "n_bytes"), load_tokenizer(tokenizer.folder))
