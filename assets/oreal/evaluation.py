"""Assets of OREAL's evaluation: what the start and every arm answer to the test problems."""

from __future__ import annotations

import polars as pl

from assets.core.lake import Dataset, DatasetWriter
from assets.core.policy_engine import PolicyEngineResource
from assets.core.recipe import Input, recipe
from assets.core.rollouts import RUN_RECORD, greedy, prompt_ids, record_rows, right_matrix
from assets.core.statistics import wilson_interval
from assets.core.verifier.verifier import Verifier, verifier_identity
from assets.oreal.arms import ARMS
from assets.oreal.assets import PROBLEMS, chosen
from assets.oreal.config import SEEDS, EvaluateConfig
from assets.oreal.look import sampled
from models.inference.engine import Sampling

SCORES = pl.Schema(
    {**RUN_RECORD, "samples_right": pl.Int64(), "n_samples": pl.Int64(), "pass_at_k": pl.Float64()}
)  # fmt: skip


def score_policy(
    out: DatasetWriter,
    config: EvaluateConfig,
    checkpoint: Dataset,
    problems: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """Greedy answers of a policy to the test problems, and pass@k of its samples."""
    from models.training.chat import load_chat_tokenizer

    asked = chosen(problems, "test", config.n_problems)
    prompts = prompt_ids(load_chat_tokenizer(checkpoint.folder), asked["question"].to_list())
    record = checkpoint.read("id", "arm").row(0, named=True)
    sampling = Sampling(config.max_new_tokens)
    out.ledger.rows_in = asked.height
    with policy_engine.open(checkpoint.folder, out.work / "logs") as engine, Verifier() as verifier:
        best = greedy(engine, verifier, asked, prompts, config.max_new_tokens)
        drawn = sampled(engine, verifier, asked, prompts, sampling, n=config.n_samples, seed=config.seed)
    rows = score_rows(
        asked, best, drawn, n=config.n_samples, checkpoint=record["id"], arm=record["arm"], seed=int(partition)
    )
    out.write(rows)
    right = int(rows["score"].sum())
    low, high = wilson_interval(right, rows.height)
    out.check("every_problem_scored", rows.height == asked.height > 0, problems=rows.height)
    out.describe(
        accuracy=round(right / rows.height, 4), low=round(low, 4), high=round(high, 4),
        sampled_accuracy=round(float(rows["samples_right"].sum()) / (rows.height * config.n_samples), 4),
        pass_at_k=round(float(rows["pass_at_k"].mean()), 4),  # type: ignore[arg-type]
        outcomes=dict(best["outcome"].value_counts().sort("outcome").iter_rows()),
    )  # fmt: skip


def score_rows(
    asked: pl.DataFrame, best: pl.DataFrame, drawn: pl.DataFrame, *, n: int, checkpoint: str, arm: str, seed: int
) -> pl.DataFrame:
    """One row a problem, from its greedy answer and its `n` samples; pass@k for k = n // 2."""
    from models.evaluation.pass_at_k import pass_at_k

    right = right_matrix(drawn, n).sum(axis=1)
    return record_rows(asked, best, checkpoint=checkpoint, arm=arm, seed=seed).with_columns(
        samples_right=pl.Series(right.astype("int64")),
        n_samples=pl.lit(n, dtype=pl.Int64),
        pass_at_k=pl.Series([float(pass_at_k(n, int(each), n // 2)) for each in right], dtype=pl.Float64),
    )


SCORED = [
    recipe(
        f"oreal/scores/{arm}",
        inputs={
            "checkpoint": Input("oreal/sft_policy" if arm == "sft" else f"oreal/policy/{arm}"),
            "problems": PROBLEMS,
        },
        partitions=SEEDS,
        external=verifier_identity,
        checks=("every_problem_scored",),
        resources=("policy_engine",),
        kinds={"pytorch"},
        tags={"stage": "evaluate"},
    )(score_policy)
    for arm in ("sft", *ARMS)
]
