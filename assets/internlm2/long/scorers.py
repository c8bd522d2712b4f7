"""Assets of the long-text pipeline: the models that score."""

from __future__ import annotations

import polars as pl

from assets.core.checkpoint import train_checkpoint
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.internlm2.decoder import new_decoder
from assets.internlm2.long import plots
from assets.internlm2.long.config import SEEDS, ScorerConfig
from assets.internlm2.long.train import epochs_needed, is_heldout, scorer_examples, scorer_plan
from assets.internlm2.tokenizer import load_tokenizer, special_ids


def train_scorer(
    out: DatasetWriter,
    config: ScorerConfig,
    documents: Dataset,
    tokens: Dataset,
    tokenizer: Dataset,
    tracking: Tracking,
    trainer: TrainerResource,
    *,
    arm: str,
    seed: int,
    heldout_share: float,
) -> None:
    """A decoder trained on the corpus without its held-out packages, as a checkpoint."""
    from models.training.objectives import PRETRAIN

    vocabulary = load_tokenizer(tokenizer.folder)
    bos, eos = special_ids(vocabulary)
    rows = tokens.read("id", "tokens").join(documents.read("id", "package"), on="id", validate="1:1")
    rows = rows.filter(pl.col("tokens").list.len() >= config.min_tokens)
    read = [not is_heldout(package, heldout_share) for package in rows["package"]]
    plan = scorer_plan(config, seed=seed, dtype=trainer.dtype, threads=trainer.threads)
    examples = scorer_examples(
        rows.filter(pl.Series(read, dtype=pl.Boolean)), bos=bos, eos=eos, sequence_length=config.sequence_length,
        n_tokens=plan.tokens, seed=seed,
    )  # fmt: skip
    trained = train_checkpoint(
        out, tracking, trainer, new_decoder(config, vocabulary.get_vocab_size(), seed), examples, plan,
        objective=PRETRAIN, name=f"internlm2/{arm}/seed{seed}", tokenizer=tokenizer,
        inputs=[("training tokens", tokens)], params={"train": config.model_dump(), "rows": len(examples)},
        tags={"system": "internlm2", "arm": arm, "seed": str(seed)}, epochs=epochs_needed(examples, plan),
    )  # fmt: skip
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", arm, str(seed), trained.weights)],
                "parents": pl.Series([sorted(set(examples.ids))], dtype=pl.List(pl.String)),
                "seed": [seed],
                "steps": [trained.report.steps],
                "tokens": [trained.report.tokens_seen],
                "final_loss": [trained.final_loss],
                "parameters": [trained.parameters],
            }
        )
    )
    out.plot("loss", plots.plot_losses(trained.report.losses, plan.sequence_length * plan.batch_rows))


INPUTS = {
    "documents": Input("corpora/clean_documents"),
    "tokens": Input("internlm2/tokens"),
    "tokenizer": Input("internlm2/tokenizer"),
}


@checkpoint_recipe("internlm2/long/scorer", inputs=INPUTS)
def scorer(
    out: DatasetWriter, config: ScorerConfig, documents: Dataset, tokens: Dataset, tokenizer: Dataset,
    tracking: Tracking, trainer: TrainerResource,
) -> None:  # fmt: skip
    """The model whose perplexity judges long documents: a small decoder that has read the whole corpus."""
    train_scorer(
        out, config, documents, tokens, tokenizer, tracking, trainer, arm="long_scorer_all", seed=0, heldout_share=0.0
    )


@checkpoint_recipe("internlm2/long_scorer", inputs=INPUTS, partitions=SEEDS)
def long_scorer(
    out: DatasetWriter, config: ScorerConfig, documents: Dataset, tokens: Dataset, tokenizer: Dataset,
    partition: str, tracking: Tracking, trainer: TrainerResource,
) -> None:  # fmt: skip
    """The same model for the claim: without the packages on which the filter is tried, one for each seed."""
    train_scorer(
        out, config, documents, tokens, tokenizer, tracking, trainer, arm="long_scorer", seed=int(partition),
        heldout_share=config.heldout_share,
    )  # fmt: skip
