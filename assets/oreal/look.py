"""How good a policy is: its greedy answers, and how often its samples are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from assets.core.rollouts import grade_rollouts, greedy, right_matrix, roll_out
from assets.core.verifier.verifier import Verifier
from assets.oreal.selection import informative
from models.inference.engine import Engine, Sampling
from models.training.prompts import derived_seed


@dataclass(frozen=True)
class Look:
    """`accuracy` of greedy answers, `sampled` accuracy at temperature 1, and the share of problems with 0 < p < 1."""

    accuracy: float
    sampled: float
    informative: float


def sampled(
    engine: Engine,
    verifier: Verifier,
    problems: pl.DataFrame,
    prompts: Sequence[tuple[int, ...]],
    sampling: Sampling,
    *,
    n: int,
    seed: int,
) -> pl.DataFrame:
    """`n` samples for every problem, graded."""
    seeds = [derived_seed(seed, place) for place in range(problems.height)]
    rollouts = roll_out(engine, problems["id"].to_list(), prompts, sampling, n=n, seeds=seeds)
    return grade_rollouts(verifier, rollouts, problems)


def look(
    engine: Engine,
    verifier: Verifier,
    problems: pl.DataFrame,
    prompts: Sequence[tuple[int, ...]],
    *,
    n: int,
    max_new_tokens: int,
    seed: int,
) -> Look:
    """Both over the same problems."""
    best = greedy(engine, verifier, problems, prompts, max_new_tokens)
    drawn = sampled(engine, verifier, problems, prompts, Sampling(max_new_tokens=max_new_tokens), n=n, seed=seed)
    right = right_matrix(drawn, n)
    return Look(float(right_matrix(best, 1).mean()), float(right.mean()), float(informative(right).mean()))
