"""Assets of the registry: the best start, and the best policy that learned from outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from assets.core.errors import InputError
from assets.core.lake import Dataset, DatasetWriter
from assets.core.policy_engine import PolicyEngineResource
from assets.core.recipe import Input, recipe
from assets.core.registry import Promotion, Yardstick, register_champion
from assets.core.rollouts import greedy, prompt_ids, right_matrix
from assets.core.statistics import PairedDifference, paired_bootstrap, wilson_interval
from assets.core.tracking import Tracking
from assets.core.verifier.verifier import Verifier, verifier_identity
from assets.oreal.assets import PROBLEMS, chosen
from assets.oreal.config import ChampionConfig

ACCURACY = Yardstick("greedy accuracy", "higher", "test problems")
START, TRAINED = "oreal-sft", "oreal-policy"


def best_of(scores: Mapping[str, Dataset], checkpoints: Mapping[str, Dataset], asset: str) -> tuple[str, float]:
    """The seed with the best greedy accuracy and the accuracy itself."""
    found = [(float(dataset.read("score")["score"].mean()), seed)  # type: ignore[arg-type]
             for seed, dataset in scores.items() if seed in checkpoints]  # fmt: skip
    if not found:
        raise InputError("no scored policy to choose from", f"materialize {asset} first")
    accuracy, seed = max(found)
    return seed, accuracy


def promote(
    out: DatasetWriter,
    config: ChampionConfig,
    name: str,
    checkpoint: Dataset,
    accuracy: float,
    sound: bool,
    problems: Dataset,
    tracking: Tracking,
    policy_engine: PolicyEngineResource,
) -> Promotion:
    """Register the checkpoint; the champion moves if it is sound and better on the same problems. Writes the row."""
    from models.training.chat import load_chat_tokenizer

    def score_of(folder: Path) -> float:
        asked = chosen(problems, "test", config.n_problems)
        prompts = prompt_ids(load_chat_tokenizer(folder), asked["question"].to_list())
        with policy_engine.open(folder, out.work / "logs") as engine, Verifier() as verifier:
            return float(right_matrix(greedy(engine, verifier, asked, prompts, config.max_new_tokens), 1).mean())

    decided = register_champion(
        tracking, name=name, model_id=checkpoint.manifest.metadata["mlflow_model"], candidate_score=accuracy,
        score_of=score_of, passes_checks=sound and checkpoint.manifest.sound, yardstick=ACCURACY,
    )  # fmt: skip
    record = checkpoint.read("id", "arm", "seed").row(0, named=True)
    out.write(
        pl.DataFrame(
            {
                "id": [record["id"]],
                "parents": pl.Series([[record["id"]]], dtype=pl.List(pl.String)),
                "arm": [record["arm"]],
                "seed": [record["seed"]],
                "accuracy": [accuracy],
                "version": [decided.version],
                "moved": [decided.moved],
            }
        )
    )
    out.describe(
        decision=f"{record['arm']}, seed {record['seed']}: {decided.reason}", registered_model=name,
        version=decided.version, moved=decided.moved, seed=record["seed"], accuracy=round(accuracy, 4),
    )  # fmt: skip
    return decided


@recipe(
    "oreal/sft_champion",
    inputs={
        "scores": Input("oreal/scores/sft", all_partitions=True),
        "checkpoints": Input("oreal/sft_policy", all_partitions=True),
        "problems": PROBLEMS,
    },
    ledger=False,
    external=verifier_identity,
    resources=("tracking", "policy_engine"),
    checks=("start_teaches",),
    kinds={"mlflow"},
    tags={"stage": "register"},
)
def sft_champion(
    out: DatasetWriter,
    config: ChampionConfig,
    scores: dict[str, Dataset],
    checkpoints: dict[str, Dataset],
    problems: Dataset,
    tracking: Tracking,
    policy_engine: PolicyEngineResource,
) -> None:
    """The best start, registered. A new one lets the sensor start reinforcement learning from it."""
    seed, accuracy = best_of(scores, checkpoints, "oreal/scores/sft")
    best = checkpoints[seed]
    informative = best.read("informative").item()
    promote(out, config, START, best, accuracy, informative > 0, problems, tracking, policy_engine)
    out.check("start_teaches", informative > 0, informative=round(informative, 4))


@recipe(
    "oreal/champion",
    inputs={
        "before": Input("oreal/scores/sft", all_partitions=True),
        "after": Input("oreal/scores/oreal", all_partitions=True),
        "checkpoints": Input("oreal/policy/oreal", all_partitions=True),
        "problems": PROBLEMS,
    },
    ledger=False,
    external=verifier_identity,
    resources=("tracking", "policy_engine"),
    checks=("better_than_start",),
    kinds={"mlflow"},
    tags={"stage": "register"},
)
def champion(
    out: DatasetWriter,
    config: ChampionConfig,
    before: dict[str, Dataset],
    after: dict[str, Dataset],
    checkpoints: dict[str, Dataset],
    problems: Dataset,
    tracking: Tracking,
    policy_engine: PolicyEngineResource,
) -> None:
    """The best policy after reinforcement learning, registered; champion only if it beats its own start."""
    seed, accuracy = best_of({seed: after[seed] for seed in after if seed in before}, checkpoints, "oreal/scores/oreal")
    gain = improvement(before[seed].read("item_id", "score"), after[seed].read("item_id", "score"))
    better = gain.low > config.least_gain
    promote(out, config, TRAINED, checkpoints[seed], accuracy, better, problems, tracking, policy_engine)
    facts = {"gain": round(gain.difference, 4), "low": round(gain.low, 4), "least_gain": config.least_gain}
    out.check("better_than_start", better, **facts)
    n = gain.n_items
    intervals = {
        name: [round(value, 3), *(round(bound, 3) for bound in wilson_interval(round(value * n), n))]
        for name, value in (("before", gain.baseline), ("after", gain.treatment))
    }
    out.describe(**intervals, gain=[round(gain.difference, 3), round(gain.low, 3), round(gain.high, 3)], problems=n)


def improvement(before: pl.DataFrame, after: pl.DataFrame) -> PairedDifference:
    """After minus before over the problems that both answered."""
    both = after.join(before, on="item_id", suffix="_before", validate="1:1").sort("item_id")
    return paired_bootstrap(both["score"].to_numpy()[None], both["score_before"].to_numpy()[None])
