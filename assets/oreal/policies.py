"""Assets of the arms: from the start, iteration by iteration, to a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import polars as pl

from assets.core.checkpoint import publish_weights
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.policy_engine import PolicyEngineResource
from assets.core.progress import bar
from assets.core.published import Published, rows_and_numbers
from assets.core.recipe import Input
from assets.core.rollouts import prompt_ids
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.core.verifier.verifier import Verifier, verifier_identity
from assets.oreal import plots
from assets.oreal.arms import ARMS
from assets.oreal.assets import PROBLEMS, chosen
from assets.oreal.config import SEEDS, PolicyConfig
from assets.oreal.iterate import Loop, Problems

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ITERATIONS = "oreal/iterations"
CHECKS = (
    "training_complete",
    "loads_in_transformers",
    "sampler_agrees_with_trainer",
    "entropy_and_length_within_bounds",
    "tokens_have_weight",
)
iterations = dg.AssetSpec(
    ITERATIONS.split("/"),
    deps=[dg.AssetDep(["oreal", "prompts"], partition_mapping=dg.AllPartitionMapping())],
    description="Every iteration of every arm, as it is finished: rollouts with token ids, logprobs, verdicts and "
    "weights; in the metadata reward, accuracy, KL, entropy and length. Published by the policies.",
    group_name="oreal",
    partitions_def=dg.DynamicPartitionsDefinition(name=ITERATIONS),
    tags={"paper": "oreal", "stage": "train"},
    kinds={"python"},
)


def _problems(rows: pl.DataFrame, tokenizer: PreTrainedTokenizerFast) -> Problems:
    return Problems(rows, dict(zip(rows["id"], prompt_ids(tokenizer, rows["question"].to_list()), strict=True)))


def train_policy(
    out: DatasetWriter,
    config: PolicyConfig,
    start: Dataset,
    prompts: Dataset,
    problems: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
    policy_engine: PolicyEngineResource,
    published: Published,
    key: str,
    reward_model: Dataset | None = None,
) -> None:
    """The policy after all iterations of an arm, or rather the best of those looked at."""
    from models.architecture.huggingface import load_folder
    from models.training.chat import load_chat_tokenizer

    arm, tokenizer = key.removeprefix("oreal/policy/"), load_chat_tokenizer(start.folder)
    queries = prompts.read()
    name, tags = f"oreal/{arm}/seed{partition}", {"system": "oreal", "arm": arm, "seed": partition}
    read = [("prompts", prompts), ("start", start), *([("token reward model", reward_model)] if reward_model else [])]
    with (
        tracking.training_run(
            name=name, fingerprint=out.fingerprint, params={**tags, "train": config.model_dump()}, datasets=read,
            tags=tags,
        ) as run,
        policy_engine.open(start.folder, out.work / "logs") as engine,
        Verifier() as verifier,
        bar(config.iterations, label=name, unit=" iterations") as advance,
    ):  # fmt: skip
        loop = Loop(
            arm=ARMS[arm], config=config, seed=int(partition) + config.seed,
            problems=_problems(queries.drop("times"), tokenizer), times=queries["times"].to_numpy(),
            valid=_problems(chosen(problems, "valid", config.n_valid), tokenizer), start=start.folder,
            reward_start=reward_model.folder if reward_model else None, engine=engine, verifier=verifier,
            trainer=trainer, work=out.work, digest=" ".join(dataset.digest for _, dataset in read),
        )  # fmt: skip

        def done(iteration: int, scored: pl.DataFrame, record: dict[str, Any]) -> None:
            numbers = {key: float(value) for key, value in record.items() if isinstance(value, int | float)}
            run.log_step(iteration, numbers)
            rows = scored.with_columns(arm=pl.lit(arm), seed=pl.lit(int(partition)))
            partition_name = f"{arm}-{partition}-{iteration:03d}"
            published.publish(partition_name, out.fingerprint, rows_and_numbers(rows, record))
            advance(f"reward {record['reward']:.3f}")

        records = list(loop.run(done))
        weights = publish_weights(
            out, run, load_folder(loop.best), start.folder, name=name, tags=tags,
            metrics={"accuracy": max(_known(records, "accuracy"))}, dataset=prompts,
        )  # fmt: skip
    _check(out, config, arm, records)
    out.describe(records=records, sampled_tokens=sum(record["tokens"] for record in records))
    for curve in plots.CURVES:
        if _known(records, curve):
            out.plot(curve, plots.plot_curve(records, curve))
    asked = pl.concat([loop.scores(i).select("problem_id", "outcome") for i in range(config.iterations)])
    out.describe(never_solved=never_solved(asked, queries))
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", f"oreal/{arm}", partition, weights)],
                "parents": pl.Series(
                    [[start.read("id")["id"][0], *sorted(set(asked["problem_id"]))]], dtype=pl.List(pl.String)
                ),
                "arm": [arm],
                "seed": [int(partition)],
                "iterations": [config.iterations],
                "updates": [config.iterations * config.updates],
                "sampled_tokens": [sum(record["tokens"] for record in records)],
                "verifier_calls": [sum(record["verifier_calls"] for record in records)],
            }
        )
    )


def never_solved(asked: pl.DataFrame, queries: pl.DataFrame) -> dict[str, float]:
    """Of each skill the share of questions that no rollout of the run solved."""
    solved = asked.group_by("problem_id").agg((pl.col("outcome") == "right").any().alias("solved"))
    by_skill = solved.join(queries.select("skill", problem_id="id"), on="problem_id")
    shares = by_skill.group_by("skill").agg((~pl.col("solved")).mean()).sort("skill")
    return {skill: round(share, 4) for skill, share in shares.iter_rows()}


def _known(records: list[dict[str, Any]], name: str) -> list[float]:
    return [record[name] for record in records if record.get(name) is not None]


def _check(out: DatasetWriter, config: PolicyConfig, arm: str, records: list[dict[str, Any]]) -> None:
    out.check("training_complete", len(records) == config.iterations, iterations=len(records))
    drift = max(_known(records, "drift"), default=0.0) if ARMS[arm].on_policy else 0.0
    out.check("sampler_agrees_with_trainer", drift <= config.largest_drift, largest_mean_gap=drift)
    entropies, ended = _known(records, "entropy"), _known(records, "ended")
    out.check(
        "entropy_and_length_within_bounds", min(entropies) > 0 and min(ended) >= config.min_ended,
        lowest_entropy=min(entropies), least_share_ended=min(ended),
    )  # fmt: skip
    # Each side by itself: a weak reward model may give one of them nothing, and the other alone would train.
    means = {name: float(np.mean(_known(records, name) or [1.0])) for name in ("weight_right", "weight_wrong")}
    out.check("tokens_have_weight", min(means.values()) > 0, **means)


POLICIES = [
    checkpoint_recipe(
        f"oreal/policy/{arm}",
        inputs={
            "start": Input(ARMS[arm].start),
            "prompts": Input("oreal/prompts"),
            "problems": PROBLEMS,
            **({"reward_model": Input("oreal/token_reward_model")} if ARMS[arm].token_weights else {}),
        },
        partitions=SEEDS,
        external=verifier_identity,
        checks=CHECKS,
        resources=("policy_engine",),
        publishes=ITERATIONS,
    )(train_policy)
    for arm in ARMS
]
