"""The token reward model before the policy moves: trained on the start's answers and their outcomes alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.core.checkpoint import describe_training, step_metrics
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import bar
from assets.core.rollouts import prompt_ids
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.core.training import train_model
from assets.oreal.assets import POLICY, PROBLEMS, ROLLOUTS
from assets.oreal.config import SEEDS, TokenRewardConfig
from assets.oreal.trajectories import trajectories

if TYPE_CHECKING:
    from models.architecture.heads import TokenRewardModel
    from models.training.plan import StepRecord
    from models.training.trajectories import Trajectory


def heldout_problems(names: Iterable[str], share: float) -> set[str]:
    """The problems whose answers only test the model; ids are hashes of the content, so that their order is a draw."""
    ordered = sorted(set(names))
    return set(ordered[: round(share * len(ordered))])


def as_trajectories(graded: pl.DataFrame, prompts: dict[str, tuple[int, ...]]) -> list[Trajectory]:
    """Graded rollouts, all of one weight."""
    ones = pl.Series([[1.0] * tokens for tokens in graded["tokens"]], dtype=pl.List(pl.Float32))
    return trajectories(graded.with_columns(weight=pl.lit(1.0), token_weights=ones), prompts)


def batches(rows: list[Trajectory], steps: int, size: int, seed: int) -> list[list[Trajectory]]:
    """`steps` updates of `size` trajectories, each pass over them in an order of its own."""
    passes = -(-steps * size // len(rows))
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(rows)) for _ in range(passes)])[: steps * size]
    return [[rows[place] for place in update] for update in order.reshape(steps, size)]


def judged(model: TokenRewardModel, rows: list[Trajectory]) -> dict[str, float]:
    """How well the model tells right from wrong on answers it did not see, and the weights that it would give."""
    from models.training.outcome_rewards import token_weights
    from models.training.token_reward import token_scores

    right = np.array([row.right for row in rows])
    scores = [score.double().numpy() for score in token_scores(model, rows)]
    correct = (np.array([score.mean() for score in scores]) > 0) == right
    weights = [token_weights(score, row.right) for score, row in zip(scores, rows, strict=True)]
    base = max(right.mean(), 1 - right.mean())
    found = {"heldout_accuracy": float(correct.mean()), "base_rate": float(base)}
    for name, chosen in (("weight_right", right), ("weight_wrong", ~right)):
        members = [weights[place] for place in np.flatnonzero(chosen)]
        found[name] = float(np.concatenate(members).mean()) if members else 0.0
    return found


@checkpoint_recipe(
    "oreal/token_reward_model",
    inputs={"policy": POLICY, "rollouts": ROLLOUTS, "problems": PROBLEMS},
    partitions=SEEDS,
    checks=("training_complete", "weights_not_zero", "better_than_guessing"),
)
def token_reward_model(
    out: DatasetWriter,
    config: TokenRewardConfig,
    policy: Dataset,
    rollouts: Dataset,
    problems: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
) -> None:
    """Scores of tokens whose mean tells right from wrong answers: who gets the credit (paper, §2.4)."""
    from models.architecture.heads import TokenRewardModel
    from models.architecture.huggingface import load_folder
    from models.architecture.token_reward_folder import save_token_reward_folder
    from models.training.chat import load_chat_tokenizer
    from models.training.checkpoint import weights_digest
    from models.training.plan import TrainingPlan
    from models.training.token_reward import token_reward_objective
    from models.training.trajectories import TrajectorySource

    graded = rollouts.read()
    names = set(graded["problem_id"])
    heldout = heldout_problems(names, config.heldout_share)
    if not 0 < len(heldout) < len(names):
        raise InputError(f"{len(names)} problems cannot be parted", "ask more in oreal/initial_rollouts")
    asked = problems.read("id", "question").filter(pl.col("id").is_in(names))
    ids = prompt_ids(load_chat_tokenizer(policy.folder), asked["question"].to_list())
    prompts = dict(zip(asked["id"], ids, strict=True))
    test, training = (
        as_trajectories(graded.filter(pl.col("problem_id").is_in(heldout) == side), prompts) for side in (True, False)
    )
    seed = int(partition)
    model = TokenRewardModel(load_folder(policy.folder).float(), head_spread=0.0)
    longest = max(len(row.prompt) + len(row.response) for row in training)
    plan = TrainingPlan(
        steps=config.steps, batch_rows=config.batch_trajectories, sequence_length=longest, peak_lr=config.peak_lr,
        warmup_steps=min(config.warmup_steps, config.steps), weight_decay=0.01, seed=seed, dtype=trainer.dtype,
        threads=trainer.threads,
    )  # fmt: skip
    source = TrajectorySource(batches(training, config.steps, config.batch_trajectories, seed))
    name, tags = f"oreal/token_reward/seed{partition}", {"system": "oreal", "arm": "token_reward", "seed": partition}
    with (
        tracking.training_run(
            name=name, fingerprint=out.fingerprint, params={**tags, "train": config.model_dump()},
            datasets=[("rollouts", rollouts)], tags=tags,
        ) as run,
        bar(config.steps, label=name, unit=" steps") as advance,
    ):  # fmt: skip

        def on_step(record: StepRecord) -> None:
            run.log_step(record.step, step_metrics(record) | {"accuracy": record.means["accuracy"]})
            advance(f"loss {record.loss:.3f}, accuracy {record.means['accuracy']:.2f}")

        report = train_model(
            trainer, model, source, plan, objective=token_reward_objective(), state_folder=out.work,
            data_digest=rollouts.digest, on_step=on_step, tokenizer_folder=policy.folder,
        )  # fmt: skip
        found = judged(model, test)
        run.log_step(config.steps, found)
    save_token_reward_folder(model, out.folder, policy.folder)
    out.check("training_complete", report.steps == plan.steps and report.weights_changed, steps=report.steps)
    least = min(found["weight_right"], found["weight_wrong"])
    out.check("weights_not_zero", least >= config.min_mean_weight, least_mean_weight=round(least, 4))
    out.check("better_than_guessing", found["heldout_accuracy"] > found["base_rate"], **found)
    describe_training(out, report, float(np.mean(report.losses[-20:])))
    out.describe(heldout_share=config.heldout_share, **{key: round(value, 4) for key, value in found.items()})
    weights = weights_digest(model)
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", "oreal/token_reward", partition, weights)],
                "parents": pl.Series([policy.read("id")["id"].to_list()], dtype=pl.List(pl.String)),
                "arm": ["token_reward"],
                "seed": [seed],
                "steps": [report.steps],
                "trajectories": [len(training)],
            }
        )
    )
