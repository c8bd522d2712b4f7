"""Assets of FastMCTS's training: fine-tuning on each arm's answers, and DPO on preference pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.core.checkpoint import Trained, train_checkpoint
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.fastmcts import plots
from assets.fastmcts.arms import CHECKPOINT_OF, PAIR_ARMS, PREFERENCE_START, SFT_ARMS
from assets.fastmcts.assets import POLICY
from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.config import SEEDS, LearnConfig, PreferConfig, TrainConfig

if TYPE_CHECKING:
    from models.architecture.decoder import Decoder
    from models.training.examples import Examples
    from models.training.objectives import Objective
    from models.training.plan import TrainingPlan

# Token ids, and whether each is trained.
Document = tuple[list[int], list[bool]]


def sft_examples(rows: pl.DataFrame, codec: ChatCodec) -> Examples:
    """Answers behind their prompts; the answer is trained, its stop token included, as it was sampled."""
    from models.training.examples import build_examples

    def documents() -> Iterator[tuple[str, list[Document]]]:
        for name, question, answer in rows.select("id", "question", "token_ids").iter_rows():
            yield name, [_document(codec.prompt(question, ()), answer)]

    return build_examples(documents())


def pair_examples(rows: pl.DataFrame, codec: ChatCodec) -> Examples:
    """Chosen and rejected continuations behind prompt and shared prefix; only what differs is trained."""
    from models.training.examples import build_examples

    def documents() -> Iterator[tuple[str, list[Document]]]:
        wanted = rows.select("id", "question", "prefix_ids", "chosen_ids", "rejected_ids")
        for name, question, prefix, chosen, rejected in wanted.iter_rows():
            context = (*codec.prompt(question, ()), *prefix)
            yield name, [_document(context, chosen), _document(context, rejected)]

    return build_examples(documents(), documents_per_example=2)


def _document(context: tuple[int, ...], answer: list[int]) -> Document:
    return [*context, *answer], [False] * len(context) + [True] * len(answer)


def learn(
    out: DatasetWriter,
    config: LearnConfig,
    start: Dataset,
    rows: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """The policy that was searched with, fine-tuned on the right answers of one arm; all arms take equal steps."""
    from models.training.objectives import SFT

    examples = sft_examples(rows.read(), ChatCodec(start.folder, "\n"))
    _train(out, config, start, rows, partition, tracking, trainer, examples, lambda decoder: SFT)


def prefer(
    out: DatasetWriter,
    config: PreferConfig,
    start: Dataset,
    rows: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """The model fine-tuned on FastMCTS's answers, then DPO on the pairs of one arm; its start is the reference."""
    from models.training.dpo import dpo_objective

    examples = pair_examples(rows.read(), ChatCodec(start.folder, "\n"))
    _train(
        out, config, start, rows, partition, tracking, trainer, examples,
        lambda decoder: dpo_objective(decoder, config.beta),
    )  # fmt: skip


def _train(
    out: DatasetWriter,
    config: TrainConfig,
    start: Dataset,
    rows: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
    examples: Examples,
    objective_of: Callable[[Decoder], Objective],
) -> None:
    from models.architecture.huggingface import load_folder
    from models.training.examples import screen

    arm = rows.part or ""
    examples, unfit = screen(examples, config.sequence_length)
    if not len(examples):
        raise InputError(
            f"fastmcts/checkpoint/{arm}: there is nothing to train on",
            "raise n_search of worlds/chain_arith, or lower min_visits of fastmcts/preferences",
        )
    decoder = load_folder(start.folder)
    plan, tokens = training_plan(config, int(partition), trainer), int(examples.lengths.sum())
    # An epoch has at least as many steps as its tokens fill.
    epochs = -(-plan.steps // -(-tokens // (plan.sequence_length * plan.batch_rows)))
    trained = train_checkpoint(
        out, tracking, trainer, decoder, examples, plan, objective=objective_of(decoder),
        name=f"fastmcts/{arm}/seed{partition}", tokenizer=start,
        inputs=[("training rows", rows), ("starting checkpoint", start)],
        params={"train": config.model_dump(), "data": {"examples": len(examples)}},
        tags={"system": "fastmcts", "arm": arm, "seed": partition}, epochs=epochs,
    )  # fmt: skip
    out.describe(examples=len(examples), unfit=dict(Counter(reason for _, reason in unfit)))
    write_checkpoint(out, arm, partition, [str(start.read("id")["id"][0]), *examples.ids], trained, tokens)


def training_plan(config: TrainConfig, seed: int, trainer: TrainerResource) -> TrainingPlan:
    from models.training.plan import TrainingPlan

    return TrainingPlan(
        steps=config.steps,
        batch_rows=config.batch_rows,
        sequence_length=config.sequence_length,
        peak_lr=config.peak_lr,
        warmup_steps=round(config.warmup_share * config.steps),
        weight_decay=config.weight_decay,
        seed=seed,
        checkpoint_every=config.checkpoint_every,
        dtype=trainer.dtype,
        threads=trainer.threads,
    )


def write_checkpoint(
    out: DatasetWriter, arm: str, seed: str, parents: list[str], trained: Trained, tokens: int
) -> None:
    """The row of a checkpoint, with its loss as a picture."""
    report = trained.report
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", "fastmcts", arm, seed, trained.weights)],
                "parents": pl.Series([parents], dtype=pl.List(pl.String)),
                "arm": [arm],
                "seed": [int(seed)],
                "steps": [report.steps],
                "tokens": [report.tokens_seen],
                "trained_tokens_or_pairs": [report.counts["loss"]],
                "tokens_of_the_arm": [tokens],
                "final_loss": [trained.final_loss],
                "parameters": [trained.parameters],
            }
        )
    )
    losses = {float(step): [loss] for step, loss in enumerate(np.asarray(report.losses).tolist(), start=1)}
    out.plot("loss", plots.plot_curves({arm: losses}, x="step", y="training loss (nats)"))


CHECKPOINTS = [
    *(
        checkpoint_recipe(
            CHECKPOINT_OF[arm],
            inputs={"start": POLICY, "rows": Input("fastmcts/sft_rows", part=arm)},
            partitions=SEEDS,
        )(learn)
        for arm in SFT_ARMS
    ),
    *(
        checkpoint_recipe(
            CHECKPOINT_OF[arm],
            inputs={"start": Input(PREFERENCE_START), "rows": Input("fastmcts/preferences", part=arm)},
            partitions=SEEDS,
        )(prefer)
        for arm in PAIR_ARMS
    ),
]
