"""The asset of OREAL's claims."""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.claims.claim import claims_frame, markdown_table
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import CHEAP, Input, recipe
from assets.oreal import plots
from assets.oreal.arms import ARMS
from assets.oreal.claims import accuracy_claims, best_of_n_claims, best_of_n_deviation, credit_claims, curve_claims
from assets.oreal.credit import CREDIT
from assets.oreal.evaluation import SCORES

PICKS, DRAWS = 20_000, (1, 4, 16)


@recipe(
    "claims/oreal",
    inputs={
        **{f"scores_{arm}": Input(f"oreal/scores/{arm}", all_partitions=True) for arm in ("sft", *ARMS)},
        **{f"policy_{arm}": Input(f"oreal/policy/{arm}", all_partitions=True) for arm in ARMS},
        "credit": Input("oreal/token_credit", all_partitions=True),
        "rollouts": Input("oreal/initial_rollouts", all_partitions=True),
    },
    ledger=False,
    checks=("equal_budgets",),
    tags={"stage": "claims"},
    automation=CHEAP,
)
def oreal_claims(
    out: DatasetWriter, credit: dict[str, Dataset], rollouts: dict[str, Dataset], **by_name: dict[str, Dataset]
) -> None:
    """The claims of OREAL in the small: differences, intervals, verdicts. What this world cannot show: 90 % of
    MATH-500, self-correction in long reasoning, the use of a generative verifier."""
    scores = _read([by_name[f"scores_{arm}"] for arm in ("sft", *ARMS)], SCORES)
    policies = {arm: by_name[f"policy_{arm}"] for arm in ARMS}
    curves = {
        arm: {int(seed): _accuracies(dataset) for seed, dataset in found.items()} for arm, found in policies.items()
    }
    deviations = _deviations(rollouts)
    rows = claims_frame(
        [
            *best_of_n_claims(deviations),
            *accuracy_claims(scores),
            *curve_claims(curves),
            *credit_claims(_read([credit], CREDIT)),
        ]
    )
    out.write(rows)
    budgets = [
        dataset.read("arm", "seed", "iterations", "updates", "sampled_tokens", "verifier_calls").row(0, named=True)
        for found in policies.values()
        for dataset in found.values()
    ]
    equal = {(each["iterations"], each["updates"], each["verifier_calls"]) for each in budgets}
    out.check("equal_budgets", len(equal) <= 1, budgets=budgets)
    out.describe(table=markdown_table(rows), verdicts=dict(rows["verdict"].value_counts().iter_rows()))
    accuracy = scores.group_by("arm").agg(pl.col("score").mean()).sort("arm")
    out.describe(accuracy={arm: round(value, 4) for arm, value in accuracy.iter_rows()})
    first = {
        arm: [(record["iteration"], record["accuracy"]) for record in min(found.items())[1].manifest.metadata["records"]
              if record["accuracy"] is not None]
        for arm, found in policies.items() if found
    }  # fmt: skip
    if first:
        out.plot("accuracy", plots.plot_accuracy(first))


def _read(found: list[dict[str, Dataset]], schema: pl.Schema) -> pl.DataFrame:
    read = [dataset.read() for by_seed in found for _, dataset in sorted(by_seed.items())]
    return pl.concat([pl.DataFrame(schema=schema), *read])


def _accuracies(policy: Dataset) -> list[float]:
    return [record["accuracy"] for record in policy.manifest.metadata["records"] if record["accuracy"] is not None]


def _deviations(rollouts: dict[str, Dataset]) -> dict[int, dict[int, tuple[float, float, float]]]:
    """Of each seed, over the different answers of the problem whose answers differ most, weighed by the sampler's own
    probabilities."""
    found: dict[int, dict[int, tuple[float, float, float]]] = {n: {} for n in DRAWS}
    for seed, dataset in rollouts.items():
        answers = dataset.read("problem_id", "text", "logprobs", "outcome").unique(["problem_id", "text"])
        answers = answers.with_columns(right=pl.col("outcome") == "right", chance=pl.col("logprobs").list.sum().exp())
        counts = answers.group_by("problem_id").agg(pl.len(), pl.col("right").sum().alias("n_right"))
        useful = counts.filter((pl.col("n_right") > 1) & (pl.col("n_right") < pl.col("len")))
        if not useful.height:
            continue
        chosen = useful.sort("n_right", "len", "problem_id", descending=True)["problem_id"][0]
        space = answers.filter(pl.col("problem_id") == chosen).sort("text")
        chances = space["chance"].to_numpy().astype(np.float64)
        for n in DRAWS:
            found[n][int(seed)] = best_of_n_deviation(
                chances / chances.sum(), space["right"].to_numpy(), n, picks=PICKS,
                rng=np.random.default_rng([int(seed), n]),
            )  # fmt: skip
    return {n: by_seed for n, by_seed in found.items() if by_seed}
