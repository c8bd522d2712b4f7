"""Assets of Case2Code's training: the starting checkpoint, and from it one for every arm."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.case2code import plots
from assets.case2code.arms import (
    STYLE_OF,
    TRAINED_ARMS,
    chat_examples,
    epochs_needed,
    epochs_of,
    plain_examples,
)
from assets.case2code.config import SEEDS, BaseConfig, LearnConfig
from assets.case2code.pretrain import code_examples
from assets.case2code.render import Sample
from assets.core.checkpoint import Trained, train_checkpoint
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import Input
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.internlm2.decoder import new_decoder

if TYPE_CHECKING:
    from models.training.examples import Examples
    from models.training.plan import TrainingPlan


@checkpoint_recipe(
    "case2code/base",
    inputs={"code": Input("case2code/code"), "tokenizer": Input("case2code/tokenizer")},
    partitions=SEEDS,
    stage="pretrain",
)
def base(
    out: DatasetWriter,
    config: BaseConfig,
    code: Dataset,
    tokenizer: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """The checkpoint that all arms of a seed start from: a small decoder that has read library code and no cases."""
    from models.training.chat import load_chat_tokenizer
    from models.training.objectives import PRETRAIN

    vocabulary = load_chat_tokenizer(tokenizer.folder)
    plan = training_plan(config, int(partition), trainer)
    documents = code.read("id", "text", "split").filter(pl.col("split") == "train").drop("split")
    drawn = documents[np.random.default_rng(int(partition)).permutation(documents.height)]
    examples = code_examples(
        drawn.iter_rows(), vocabulary, sequence_length=config.sequence_length, n_tokens=plan.tokens
    )
    decoder = new_decoder(config, len(vocabulary), int(partition))
    trained = train_checkpoint(
        out, tracking, trainer, decoder, examples, plan, objective=PRETRAIN, name=f"case2code/base/seed{partition}",
        tokenizer=tokenizer, inputs=[("library code", code)], params=parameters(config, examples, plan),
        tags={"system": "case2code", "arm": "base", "seed": partition}, epochs=epochs_needed(examples, plan.tokens),
    )  # fmt: skip
    write_checkpoint(out, "base", partition, list(examples.ids), examples, trained)


def train_arm(
    out: DatasetWriter,
    config: LearnConfig,
    base: Dataset,
    samples: Dataset,
    tokenizer: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """The starting checkpoint, trained on the samples of one arm over equally many tokens."""
    from models.architecture.huggingface import load_folder
    from models.training.chat import load_chat_tokenizer
    from models.training.examples import screen
    from models.training.objectives import SFT

    arm, vocabulary = samples.part or "", load_chat_tokenizer(tokenizer.folder)
    rows = samples.read("id", "prompt", "output")
    if arm in STYLE_OF:
        shown = track(rows.iter_rows(), label=f"tokenizes {arm}", total=rows.height, unit=" samples")
        asked = ((name, Sample(prompt, output, [])) for name, prompt, output in shown)
        examples = chat_examples(asked, vocabulary, trains_prompts=config.trains_prompts)
    else:
        examples = plain_examples(rows.select("id", "output").iter_rows(), vocabulary)
    examples, unfit = screen(examples, config.sequence_length)
    plan = training_plan(config, int(partition), trainer)
    trained = train_checkpoint(
        out, tracking, trainer, load_folder(base.folder), examples, plan, objective=SFT,
        name=f"case2code/{arm}/seed{partition}", tokenizer=tokenizer,
        inputs=[("samples", samples), ("starting checkpoint", base)], params=parameters(config, examples, plan),
        tags={"system": "case2code", "arm": arm, "seed": partition}, epochs=epochs_needed(examples, plan.tokens),
    )  # fmt: skip
    out.describe(samples=len(examples), unfit=dict(Counter(reason for _, reason in unfit)))
    write_checkpoint(out, arm, partition, [base.read("id").item(), *examples.ids], examples, trained)


def training_plan(config: BaseConfig | LearnConfig, seed: int, trainer: TrainerResource) -> TrainingPlan:
    """Steps of equal size over the configured tokens; raises InputError where they fill none."""
    from models.training.plan import TrainingPlan

    steps = config.tokens // (config.sequence_length * config.batch_rows)
    if steps < 1:
        raise InputError(f"{config.tokens} tokens fill no step", "raise tokens, or lower sequence_length or batch_rows")
    return TrainingPlan(
        steps=steps,
        batch_rows=config.batch_rows,
        sequence_length=config.sequence_length,
        peak_lr=config.peak_lr,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        seed=seed,
        checkpoint_every=config.checkpoint_every,
        dtype=trainer.dtype,
        threads=trainer.threads,
    )


def parameters(config: BaseConfig | LearnConfig, examples: Examples, plan: TrainingPlan) -> dict[str, object]:
    """What MLflow shows of a training."""
    return {
        "train": config.model_dump(),
        "data": {"examples": len(examples), "epochs": round(epochs_of(examples, plan.tokens), 2)},
    }


def write_checkpoint(
    out: DatasetWriter,
    arm: str,
    seed: str,
    parents: list[str],
    examples: Examples,
    trained: Trained,
) -> None:
    """The row of a checkpoint, with its loss as a picture."""
    report = trained.report
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", arm, seed, trained.weights)],
                "parents": pl.Series([list(dict.fromkeys(parents))], dtype=pl.List(pl.String)),
                "arm": [arm],
                "seed": [int(seed)],
                "steps": [report.steps],
                "tokens": [report.tokens_seen],
                "trained_tokens": [report.counts["loss"]],
                "epochs": [epochs_of(examples, report.tokens_seen)],
                "final_loss": [trained.final_loss],
                "parameters": [trained.parameters],
            }
        )
    )
    tokens = np.linspace(report.tokens_seen / report.steps, report.tokens_seen, report.steps)
    out.plot("loss", plots.plot_losses({arm: (tokens, np.array(report.losses))}))


CHECKPOINTS = [
    checkpoint_recipe(
        f"case2code/checkpoint/{arm}",
        inputs={
            "base": Input("case2code/base"),
            "samples": Input("case2code/samples", part=arm),
            "tokenizer": Input("case2code/tokenizer"),
        },
        partitions=SEEDS,
    )(train_arm)
    for arm in TRAINED_ARMS
]
