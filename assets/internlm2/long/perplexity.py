"""Perplexity of the end of a chunk with its whole context (wi) and with little of it (wo) (official repo:
OpenLMLab/LongWanjuan): does a document's beginning help to predict what follows?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.internlm2.long.config import ChunkConfig

if TYPE_CHECKING:
    from models.architecture.decoder import Decoder

Tokens = NDArray[np.int64]
METRICS = ("ppl_wi", "ppl_wo", "ppl_delta", "acc_wi", "acc_wo", "acc_delta")


def chunks_of(tokens: Sequence[int] | Tokens, chunk: int, max_chunks: int = 0) -> Tokens:
    """Whole chunks of a document, `[chunks, chunk]`: all, or `max_chunks` evenly spaced; a shorter rest is left out."""
    whole = len(tokens) // chunk
    found = np.asarray(tokens[: whole * chunk], dtype=np.int64).reshape(whole, chunk)
    if max_chunks and whole > max_chunks:
        found = found[np.linspace(0, whole - 1, max_chunks).round().astype(np.int64)]
    return found


def perplexity_frame(
    model: Decoder, chunks: Tokens, config: ChunkConfig, *, bos: int, batch_tokens: int
) -> pl.DataFrame:
    """METRICS of every chunk, a row each: `ppl_delta` = ppl_wo - ppl_wi and `acc_delta` = acc_wi - acc_wo, so that
    higher means that context helps in both. Perplexity is exp of the mean loss on the target, accuracy its share of
    tokens guessed right."""
    from models.evaluation.target_scores import target_scores

    shared = {"target": config.target, "bos_id": bos, "batch_tokens": batch_tokens}
    loss_wi, acc_wi = target_scores(model, chunks, **shared)
    loss_wo, acc_wo = target_scores(model, chunks[:, -(config.target + config.short_context) :], **shared)
    ppl_wi, ppl_wo = np.exp(loss_wi), np.exp(loss_wo)
    return pl.DataFrame(
        {
            "ppl_wi": ppl_wi, "ppl_wo": ppl_wo, "ppl_delta": ppl_wo - ppl_wi,
            "acc_wi": acc_wi, "acc_wo": acc_wo, "acc_delta": acc_wi - acc_wo,
        }
    )  # fmt: skip
