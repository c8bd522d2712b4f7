"""What claim I2 is measured on: held-out documents as they are, and wrongly joined, scored by every seed's model."""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input, recipe
from assets.core.resources import ComputeResource
from assets.internlm2.long.config import SEEDS, ScoresConfig
from assets.internlm2.long.perplexity import perplexity_frame
from assets.internlm2.long.splice import heldout_documents, partners, same_halves, spliced
from assets.internlm2.tokenizer import load_tokenizer, special_ids


@recipe(
    "internlm2/long_scores",
    inputs={
        "scorer": Input("internlm2/long_scorer"),
        "documents": Input("corpora/clean_documents"),
        "tokens": Input("internlm2/tokens"),
        "tokenizer": Input("internlm2/tokenizer"),
    },
    partitions=SEEDS,
    ledger=False,
    checks=("halves_are_the_same", "not_trained_on"),
    resources=("trainer",),
    kinds={"pytorch"},
    tags={"stage": "evaluate"},
)
def long_scores(
    out: DatasetWriter,
    config: ScoresConfig,
    scorer: Dataset,
    documents: Dataset,
    tokens: Dataset,
    tokenizer: Dataset,
    partition: str,
    trainer: ComputeResource,
) -> None:
    """Perplexities of held-out documents as they are, and with the second half of another document."""
    import torch

    from models.architecture.huggingface import load_folder

    torch.set_num_threads(trainer.threads)
    rows = tokens.read("id", "tokens").join(documents.read("id", "package"), on="id", validate="1:1")
    items = heldout_documents(rows, share=config.heldout_share, chunk=config.chunk, max_items=config.max_items)
    if items.height < 2:
        raise InputError(
            f"{items.height} held-out documents have {config.chunk} tokens", "give a larger corpus, or lower chunk"
        )
    true, partner = np.array(items["tokens"].to_list(), dtype=np.int64), partners(items["package"])
    model, checkpoint = load_folder(scorer.folder).to(trainer.device), scorer.read("id").item()
    bos, _ = special_ids(load_tokenizer(tokenizer.folder))
    joined = spliced(true, partner)
    second = items["id"].gather(partner)
    for label, chunks, continuation in (("true", true, items["id"]), ("spliced", joined, second)):
        scores = perplexity_frame(model, chunks, config, bos=bos, batch_tokens=config.batch_tokens)
        halves = list(zip(items["id"], continuation, strict=True))
        frame = items.select(
            id=pl.Series([content_id("long score", checkpoint, label, *both) for both in halves]),
            parents=pl.Series([[*dict.fromkeys(both), checkpoint] for both in halves]),
            seed=pl.lit(int(partition), dtype=pl.Int64),
            item_id="id",
            label=pl.lit(label),
        )
        out.write(frame.hstack(scores))
    out.check("halves_are_the_same", same_halves(true, joined), items=len(true))
    trained_on = set(scorer.read("parents")["parents"].item()) & set(items["id"])
    out.check("not_trained_on", not trained_on, documents=len(trained_on))
    of_another = int((items["package"].gather(partner) != items["package"]).sum())
    out.describe(items=len(true), packages=items["package"].n_unique(), joined_across_packages=of_another)
