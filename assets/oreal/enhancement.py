"""Skill enhancement: the start is fine-tuned on more problems of the skills that an earlier run keeps failing."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from assets.core.checkpoint import train_checkpoint
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.oreal.arms import CHOICES
from assets.oreal.assets import POLICY, PROBLEMS
from assets.oreal.config import SEEDS, EnhanceConfig
from assets.oreal.sft import solved_examples


def failing_skills(never_solved: Mapping[str, float], n: int) -> list[str]:
    """The `n` skills with the largest share of questions that were never solved."""
    return sorted(never_solved, key=lambda skill: (-never_solved[skill], skill))[:n]


def added_rows(solved: pl.DataFrame, choice: str, skills: list[str], n: int) -> pl.DataFrame:
    """`n` solved problems: of the failing skills, or of any. Ids are hashes, so that their order is a draw."""
    fitting = solved.filter(pl.col("skill").is_in(skills)) if choice == "matched" else solved
    if fitting.height < n:
        raise InputError(
            f"{fitting.height} solved problems of the skills {skills} cannot make {n} rows",
            "lower n_rows of oreal/enhanced, or give more problems of the split `sft`",
        )
    return fitting.sort("id", descending=True).head(n)


def enhance(
    out: DatasetWriter,
    config: EnhanceConfig,
    start: Dataset,
    earlier: Dataset,
    problems: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
    key: str,
) -> None:
    """The start after more fine-tuning: on problems of the skills that an earlier run failed, or, as a control, any."""
    from models.architecture.huggingface import load_folder
    from models.training.chat import load_chat_tokenizer
    from models.training.objectives import SFT
    from models.training.plan import TrainingPlan

    choice = key.rpartition("/")[2]
    skills = failing_skills(earlier.manifest.metadata["never_solved"], config.n_skills)
    columns = ("id", "skill", "question", "gold_solution")
    solved = problems.read(*columns, "split").filter((pl.col("split") == "sft") & (pl.col("gold_solution") != ""))
    rows = added_rows(solved, choice, skills, config.n_rows)
    policy = load_folder(start.folder).float()
    examples = solved_examples(
        rows.select("id", "question", "gold_solution").iter_rows(), load_chat_tokenizer(start.folder)
    )
    length = min(policy.config.max_length, 4 * int(examples.lengths.max()))
    plan = TrainingPlan(
        steps=config.steps, batch_rows=config.batch_rows, sequence_length=length, peak_lr=config.peak_lr,
        warmup_steps=min(10, config.steps), seed=int(partition), dtype=trainer.dtype, threads=trainer.threads,
    )  # fmt: skip
    per_epoch = max(1, int(examples.lengths.sum()) // (length * config.batch_rows))
    trained = train_checkpoint(
        out, tracking, trainer, policy, examples, plan, objective=SFT, name=f"oreal/enhanced-{choice}/seed{partition}",
        tokenizer=start, inputs=[("problems", problems), ("start", start)], params={"train": config.model_dump()},
        tags={"system": "oreal", "arm": f"enhanced-{choice}", "seed": partition}, epochs=config.steps // per_epoch + 2,
    )  # fmt: skip
    out.describe(skills=skills, never_solved=earlier.manifest.metadata["never_solved"])
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", key, partition, trained.weights)],
                "parents": pl.Series([[start.read("id")["id"][0], *rows["id"]]], dtype=pl.List(pl.String)),
                "arm": [f"enhanced-{choice}"],
                "seed": [int(partition)],
                "steps": [trained.report.steps],
            }
        )
    )


ENHANCED = [
    checkpoint_recipe(
        f"oreal/enhanced/{choice}",
        inputs={"start": POLICY, "earlier": Input("oreal/policy/cloning"), "problems": PROBLEMS},
        partitions=SEEDS,
    )(enhance)
    for choice in CHOICES
]
