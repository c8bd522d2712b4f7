"""From a sampling plan to a trained decoder: the documents in the plan's order, packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.clusterclip.config import TrainConfig

if TYPE_CHECKING:
    from models.training.data_folder import TokenStream
    from models.training.plan import TrainingPlan

SPECIALS_PER_DOCUMENT = 2


def flat_tokens(tokens: pl.Series, bos: int, eos: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """All documents as one array, each as `<s> content </s>`, and where each begins: `[tokens]`, `[documents + 1]`."""
    lengths = tokens.list.len().to_numpy().astype(np.int64) + SPECIALS_PER_DOCUMENT
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    flat = np.empty(int(offsets[-1]), dtype=np.uint32)
    flat[offsets[:-1]] = bos
    flat[offsets[1:] - 1] = eos
    content = np.ones(len(flat), dtype=np.bool_)
    content[offsets[:-1]] = content[offsets[1:] - 1] = False
    flat[content] = tokens.explode(empty_as_null=False).to_numpy()
    return flat, offsets


def token_stream(plan: pl.DataFrame, tokens: pl.DataFrame, *, bos: int, eos: int) -> TokenStream:
    """The stream of a plan: `plan` has document_id and n_tokens in draw order, `tokens` has id and tokens."""
    from models.training.data_folder import TokenStream

    place = {document: index for index, document in enumerate(tokens["id"])}
    flat, offsets = flat_tokens(tokens["tokens"], bos, eos)
    order = np.array([place[document] for document in plan["document_id"]], dtype=np.int64)
    return TokenStream(flat, offsets, order, plan["n_tokens"].to_numpy(), tokens["id"].to_list())


def training_plan(
    config: TrainConfig,
    *,
    steps: int,
    sequence_length: int,
    batch_rows: int,
    seed: int,
    dtype: str,
    threads: int,
) -> TrainingPlan:
    from models.training.plan import TrainingPlan

    return TrainingPlan(
        steps=steps,
        batch_rows=batch_rows,
        sequence_length=sequence_length,
        peak_lr=config.peak_lr,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        seed=seed,
        checkpoint_every=config.checkpoint_every,
        dtype=dtype,
        threads=threads,
    )
