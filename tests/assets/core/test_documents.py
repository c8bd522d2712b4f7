"""From a plan to batches: the documents in the plan's order, each with its special tokens."""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.core.documents import flat_tokens, token_stream

TOKENS = pl.DataFrame({"id": ["a", "b", "c"], "tokens": [[10, 11], [], [12, 13, 14]]})


def test_every_document_stands_between_special_tokens() -> None:
    """`<s> content </s>`, also for an empty document; the offsets enclose each."""
    flat, offsets = flat_tokens(TOKENS["tokens"], bos=1, eos=2)
    documents = [flat[offsets[i] : offsets[i + 1]].tolist() for i in range(3)]
    assert documents == [[1, 10, 11, 2], [1, 2], [1, 12, 13, 14, 2]]


def test_the_stream_follows_the_plan() -> None:
    """Draws come in order, repeated documents too, and a truncated draw gives only its first tokens."""
    plan = pl.DataFrame({"document_id": ["c", "a", "c"], "n_tokens": [2, 4, 4]})
    stream = token_stream(plan, TOKENS, bos=1, eos=2).packed(5, 2)
    batch = stream.batch(0)
    assert batch.tokens.flatten().tolist() == [1, 12, 1, 10, 11, 2, 1, 12, 13, 14]
    assert stream.steps == 1
    assert np.unique(batch.document_ids.numpy()).tolist() == [0, 1, 2]
