"""Tokenized documents for models: the stream that a decoder is trained on, and the bits that it needs for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.training.data_folder import TokenStream

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


def bits_of_documents(
    folder: Path, tokens: pl.Series, *, bos: int, batch_tokens: int, threads: int
) -> NDArray[np.float64]:
    """Bits that the checkpoint in `folder` needs for each document's content tokens, `[documents]`."""
    import torch

    from models.architecture.huggingface import load_folder
    from models.evaluation.bits_per_byte import document_bits

    torch.set_num_threads(threads)
    documents = [np.asarray(row, dtype=np.int64) for row in tokens.to_list()]
    return document_bits(load_folder(folder), documents, bos_id=bos, batch_tokens=batch_tokens)
