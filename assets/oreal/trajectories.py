"""From graded rollouts to what an update learns from. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.core.errors import AthanorError
from assets.core.rollouts import GRADED, right_matrix
from assets.oreal.arms import Arm
from assets.oreal.selection import divide, informative, one_of_each

if TYPE_CHECKING:
    from models.architecture.heads import TokenRewardModel
    from models.training.trajectories import Trajectory

# One row a rollout of an iteration. `update` is the update of the iteration it is learned in, None where it is not;
# `weight` and `token_weights` have no sign, which the outcome gives.
SCORED = pl.Schema(
    {
        **GRADED,
        "iteration": pl.Int64(),
        "place": pl.Int64(),
        "pass_rate": pl.Float64(),
        "informative": pl.Boolean(),
        "update": pl.Int64(),
        "weight": pl.Float64(),
        "token_weights": pl.List(pl.Float32()),
    }
)


def select(graded: pl.DataFrame, arm: Arm, *, n: int, updates: int, iteration: int, seed: int) -> pl.DataFrame:
    """The rollouts with what is kept of them, in which update and with which weight; token weights are all 1.

    Prompts that are always or never solved teach nothing and are dropped. Raises AthanorError when fewer than
    `updates` prompts remain.
    """
    from models.training.outcome_rewards import SHAPINGS

    right = right_matrix(graded, n)
    useful = np.flatnonzero(informative(right))
    if len(useful) < updates:
        raise AthanorError(
            f"iteration {iteration}: of {len(right)} prompts {len(useful)} have right and wrong answers, and "
            f"{updates} updates need one each",
            "ask more prompts per iteration, take fewer iterations, or give harder problems: there is nothing to learn",
        )
    rng = np.random.default_rng([seed, iteration])
    update = np.full(right.shape, -1, dtype=np.int64)
    weight = np.zeros(right.shape)
    for number, prompts in enumerate(divide(rng.permutation(useful), updates)):
        for prompt in prompts:
            kept = one_of_each(right[prompt], rng) if arm.keeps == "one_each" else range(n)
            update[prompt, list(kept)] = number
            weight[prompt] = SHAPINGS[arm.shaping](right[prompt])
    return graded.with_columns(
        iteration=pl.lit(iteration, dtype=pl.Int64),
        place=pl.Series(np.repeat(np.arange(len(right)), n)),
        pass_rate=pl.Series(np.repeat(right.mean(axis=1), n)),
        informative=pl.Series(np.repeat(informative(right), n)),
        update=pl.Series(update.ravel()).replace(-1, None),
        weight=pl.Series(weight.ravel()),
        token_weights=pl.Series([[1.0] * tokens for tokens in graded["tokens"]], dtype=pl.List(pl.Float32)),
    ).select(SCORED.names())


def weigh_tokens(
    scored: pl.DataFrame,
    prompts: Mapping[str, tuple[int, ...]],
    model: TokenRewardModel,
    *,
    threshold: float,
    rescale: bool,
) -> pl.DataFrame:
    """The rollouts with the token reward model's weights in place of ones, where they are kept.

    With `rescale` the weights of an update's right (wrong) answers are divided by their mean.
    """
    from models.training.outcome_rewards import token_weights
    from models.training.token_reward import token_scores

    kept = scored.with_row_index("row").filter(pl.col("update").is_not_null())
    rows = trajectories(kept, prompts)
    scores = token_scores(model, rows)
    found = [
        token_weights(score.double().numpy(), row.right, threshold) for score, row in zip(scores, rows, strict=True)
    ]
    if rescale:
        sides: dict[tuple[int, bool], list[int]] = {}
        for index, (number, row) in enumerate(zip(kept["update"], rows, strict=True)):
            sides.setdefault((number, row.right), []).append(index)
        for members in sides.values():
            mean = float(np.concatenate([found[index] for index in members]).mean())
            for index in members:
                found[index] = found[index] / mean if mean > 0 else found[index]
    weights = scored["token_weights"].to_list()
    for row, values in zip(kept["row"], found, strict=True):
        weights[row] = values.tolist()
    return scored.with_columns(token_weights=pl.Series(weights, dtype=pl.List(pl.Float32)))


def trajectories(rows: pl.DataFrame, prompts: Mapping[str, tuple[int, ...]]) -> list[Trajectory]:
    """Scored rows as a trainer takes them; `prompts` are the token ids that each problem was asked with."""
    from models.training.trajectories import Trajectory

    columns = ("id", "problem_id", "token_ids", "logprobs", "outcome", "weight", "token_weights")
    return [
        Trajectory(name, prompts[problem], tuple(ids), tuple(logprobs), outcome == "right", weight, tuple(weights))
        for name, problem, ids, logprobs, outcome, weight, weights in rows.select(columns).iter_rows()
    ]


def policy_updates(scored: pl.DataFrame, prompts: Mapping[str, tuple[int, ...]]) -> list[Sequence[Trajectory]]:
    """The kept rollouts of each update."""
    kept = scored.filter(pl.col("update").is_not_null())
    return [trajectories(rows, prompts) for _, rows in kept.sort("update", maintain_order=True).group_by(
        "update", maintain_order=True
    )]  # fmt: skip


def reward_updates(
    scored: pl.DataFrame, prompts: Mapping[str, tuple[int, ...]], rows: str
) -> list[Sequence[Trajectory]]:
    """For each update what the token reward model learns from: the kept rollouts, or all of the same prompts."""
    if rows == "kept":
        return policy_updates(scored, prompts)
    of_prompt = scored.drop_nulls("update").select("place", "update").unique("place")
    every = scored.drop("update").join(of_prompt, on="place", maintain_order="left")
    return policy_updates(every, prompts)
