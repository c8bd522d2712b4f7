"""Assets of FastMCTS's search: screened problems, the simulations of every sampler, and the trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.policy_engine import PolicyEngineResource
from assets.core.problems import PROBLEMS
from assets.core.recipe import Input, recipe
from assets.core.verifier import Answer, Verifier, verifier_identity
from assets.fastmcts import plots
from assets.fastmcts.arms import POLICY_KEY
from assets.fastmcts.baselines import rejection, vanilla, without_dynamic, without_stay
from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.config import SEEDS, AblationConfig, ScreenConfig, SearchConfig
from assets.fastmcts.measure import right_paths
from assets.fastmcts.rows import NODES, nodes_add_up, nodes_frame, simulations_frame, trees_of
from assets.fastmcts.run import ENGINE_SLOTS, run_search
from assets.fastmcts.search import Problem, Settings, Shot
from assets.fastmcts.tree import Rule

POLICY = Input(POLICY_KEY)
PROBLEMS_OF_USER = Input("corpora/problems")
SCREENED = pl.Schema({**PROBLEMS, "seed": pl.Int64(), "screen_pass": pl.Float64(), "budget": pl.Int64()})


def same(rule: Rule) -> Rule:
    return rule


def without_both(rule: Rule) -> Rule:
    return without_dynamic(without_stay(rule))


Change = Callable[[Rule], Rule]
ABLATIONS: dict[str, Change] = {
    "rejection": rejection,
    "full": same,
    "without_stay": without_stay,
    "without_dynamic": without_dynamic,
    "without_both": without_both,
}
SEARCHED: dict[str, Any] = {
    "external": verifier_identity,
    "inputs": {"screened": Input("fastmcts/problems"), "problems": PROBLEMS_OF_USER, "policy": POLICY},
    "partitions": SEEDS,
    "resources": ("policy_engine",),
    "kinds": {"pytorch"},
    "tags": {"stage": "search", "cost": "high"},
    "pool": "training",
}


@recipe(
    "fastmcts/problems",
    inputs={"problems": PROBLEMS_OF_USER, "policy": POLICY},
    partitions=SEEDS,
    external=verifier_identity,
    checks=("verifier_unit_set", "search_split_only"),
    resources=("policy_engine",),
    kinds={"pytorch"},
    tags={"stage": "screen"},
)
def screened_problems(
    out: DatasetWriter,
    config: ScreenConfig,
    problems: Dataset,
    policy: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """Problems of the search split that the policy does not always solve, each with its token budget."""
    rows = problems.read().filter(pl.col("split") == "search").sort("id")
    rows = rows.head(config.n_problems or rows.height)
    if not rows.height:
        raise InputError("no problem is in the split `search`", "raise n_search of worlds/chain_arith, or name a split")
    out.ledger.rows_in = rows.height
    # Negative seeds are the screening's: its answers must not be the first that the samplers draw.
    settings = Settings(
        rejection(Rule()), config.max_tokens, config.temperature, config.top_p, config.n_samples, -1 - int(partition)
    )
    codec, label = ChatCodec(policy.folder, "\n"), f"fastmcts/problems@{partition}"
    with policy_engine.open(policy.folder, out.work / "logs") as engine:
        searched = run_search(engine, codec, problems_of(rows), settings, work=out.work, label=label)
    for problem, reason in searched.failed.items():
        out.dead_letter(file=problem, line=None, reason="refused", detail=reason)
    simulations = simulations_frame(
        searched.simulations, sampler="screen", seed=int(partition), policy="", rule=settings.rule
    )
    passed = simulations.group_by("problem_id").agg(
        screen_pass=pl.col("verdict").mean(),
        budget=(pl.col("tokens_generated").mean() * config.budget_solutions).round().cast(pl.Int64),
    )
    answered = rows.join(passed, left_on="id", right_on="problem_id", validate="1:1").sort("id")
    kept = answered.filter(pl.col("screen_pass") < 1)
    out.ledger.drop("always_right", answered.height - kept.height)
    out.write(
        kept.with_columns(
            id=pl.Series([content_id("screened", partition, name) for name in kept["id"]], dtype=pl.String),
            parents=pl.concat_list("id"),
            seed=pl.lit(int(partition), dtype=pl.Int64),
        ).select(SCREENED.names())
    )
    out.check("verifier_unit_set", not (wrong := wrong_verdicts(rows)), wrong=wrong[:5])
    out.check("search_split_only", set(kept["split"]) <= {"search"})
    rates = answered["screen_pass"]
    out.describe(
        **searched.cost(),
        between_0_and_1=round(float(((rates > 0) & (rates < 1)).mean()), 3),  # type: ignore[arg-type]
        never_right=round(float((rates == 0).mean()), 3),  # type: ignore[arg-type]
    )


def problems_of(rows: pl.DataFrame) -> list[Problem]:
    """Rows of PROBLEMS, or screened ones, as a search takes them: under their id in the problem set."""
    budgets = rows["budget"] if "budget" in rows.columns else pl.zeros(rows.height, dtype=pl.Int64, eager=True)
    ids = rows["parents"].list.first() if "budget" in rows.columns else rows["id"]
    return [
        Problem(*fields) for fields in zip(
            ids, rows["question"], rows["gold_answer"], rows["verifier"], budgets, strict=True
        )
    ]  # fmt: skip


def wrong_verdicts(rows: pl.DataFrame, most: int = 50) -> list[str]:
    """Responses that the verifier judges otherwise than they were made: right and ended, cut off, empty, or wrong."""
    some = rows.head(most)
    wrong = []
    with Verifier() as verifier:
        for question, gold, kind in some.select("question", "gold_answer", "verifier").iter_rows():
            made = [
                (Answer(question, gold, f"#### {gold}", True), True),
                (Answer(question, gold, f"#### {gold}", False), False),
                (Answer(question, gold, "", True), False),
                (Answer(question, gold, f"#### {gold}1234567", True), False),
            ]
            grades = verifier.grade([answer for answer, _ in made], kind)
            wrong += [
                repr(answer)
                for (answer, right), grade in zip(made, grades, strict=True)
                if (grade.outcome == "right") != right
            ]
    return wrong


def search_settings(config: SearchConfig, rule: Rule, seed: int, problems: pl.DataFrame) -> Settings:
    """The settings of one sampler; solved examples are those of the split that fine-tuning reads."""
    solved = problems.filter((pl.col("split") == "sft") & (pl.col("gold_solution") != "")).sort("id")
    if solved.height < config.n_shots:
        raise InputError(
            f"{config.n_shots} solved examples are wanted; {solved.height} problems of the split `sft` have a solution",
            "lower n_shots, or give problems with solutions",
        )
    wanted = solved.select("id", "question", "gold_solution") if config.n_shots else solved.clear()
    return Settings(
        rule, config.max_tokens, config.temperature, config.top_p, config.iterations or None, seed,
        config.n_shots, tuple(Shot(*row) for row in wanted.iter_rows()),
    )  # fmt: skip


def sample(
    out: DatasetWriter,
    config: SearchConfig,
    screened: Dataset,
    problems: Dataset,
    policy: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
    samplers: Mapping[str, Change],
) -> None:
    """The simulations of each sampler, a part each where there are several."""
    rows, record = screened.read().sort("id"), str(policy.read("id")["id"][0])
    rows = rows.head(config.n_problems) if isinstance(config, AblationConfig) else rows
    codec = ChatCodec(policy.folder, config.step_marker)
    out.describe(budget_tokens=int(rows["budget"].sum()), problems=rows.height, engine_slots=ENGINE_SLOTS)
    with policy_engine.open(policy.folder, out.work / "logs") as engine:
        for name, change in samplers.items():
            rule = change(config.rule)
            settings = search_settings(config, rule, int(partition), problems.read())
            searched = run_search(
                engine, codec, problems_of(rows), settings, work=out.work / name, label=f"fastmcts {name}@{partition}"
            )
            frame = simulations_frame(searched.simulations, sampler=name, seed=int(partition), policy=record, rule=rule)
            for problem, reason in searched.failed.items():
                out.dead_letter(file=problem, line=None, reason="refused", detail=f"{name}: {reason}")
            out.ledger.rows_in += frame.height + len(searched.failed)
            out.write(frame, part=name if len(samplers) > 1 else "")
            right = right_paths(frame)
            solved = round(right["problem_id"].n_unique() / max(1, rows.height), 4)
            out.describe(**{name: {**searched.cost(), "right_paths": right.height, "solved": solved}})


@recipe("fastmcts/simulations", **SEARCHED)
def simulations(
    out: DatasetWriter,
    config: SearchConfig,
    screened: Dataset,
    problems: Dataset,
    policy: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """FastMCTS: every simulation of a search that keeps all its steps, until each problem's budget is spent."""
    sample(out, config, screened, problems, policy, partition, policy_engine, {"fastmcts": same})


@recipe("fastmcts/rejection", **SEARCHED)
def rejection_samples(
    out: DatasetWriter,
    config: SearchConfig,
    screened: Dataset,
    problems: Dataset,
    policy: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """Rejection sampling on the same problems and budgets: independent answers."""
    sample(out, config, screened, problems, policy, partition, policy_engine, {"rejection": rejection})


@recipe("fastmcts/vanilla", **SEARCHED)
def vanilla_search(
    out: DatasetWriter,
    config: SearchConfig,
    screened: Dataset,
    problems: Dataset,
    policy: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """MCTS that discards its rollouts, on the same problems and budgets."""
    sample(out, config, screened, problems, policy, partition, policy_engine, {"vanilla": vanilla})


@recipe("fastmcts/ablations", **SEARCHED)
def ablations(
    out: DatasetWriter,
    config: AblationConfig,
    screened: Dataset,
    problems: Dataset,
    policy: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """FastMCTS without its components, and rejection sampling, with equally many trajectories per problem."""
    sample(out, config, screened, problems, policy, partition, policy_engine, ABLATIONS)


@recipe(
    "fastmcts/trees",
    inputs={"simulations": Input("fastmcts/simulations"), "policy": POLICY},
    partitions=SEEDS,
    ledger=False,
    checks=("visits_add_up",),
    tags={"stage": "search"},
)
def trees(out: DatasetWriter, simulations: Dataset, policy: Dataset) -> None:
    """A row per step of every tree, with its visits and wins; pictures of the trees of a few problems."""
    rows = simulations.read()
    found = dict(trees_of(rows))
    ids = {(problem, iteration): name for name, problem, iteration in rows.select(
        "id", "problem_id", "iteration").iter_rows()}  # fmt: skip
    codec = ChatCodec(policy.folder, "\n")
    nodes = nodes_frame(found, codec, ids)
    out.write(nodes if nodes.height else pl.DataFrame(schema=NODES))
    out.check("visits_add_up", nodes_add_up(nodes, rows), nodes=nodes.height, trees=len(found))
    sizes = nodes.group_by("problem_id").agg(pl.len(), pl.col("depth").max(), pl.col("win").max())
    out.describe(trees=len(found), nodes=nodes.height, mean_nodes=round(nodes.height / max(1, len(found)), 1))
    # Of the trees with a right answer those with median and with most wins: what the search did on hard and easy ones.
    solved = sizes.filter(pl.col("win") > 0).sort("win", "problem_id")["problem_id"].to_list()
    for name, problem in zip(("hard", "median", "easy"), _spread(solved), strict=False):
        out.plot(f"tree_{name}", plots.plot_tree(found[problem], codec.text))


def _spread(names: list[str]) -> list[str]:
    """The first, the middle and the last."""
    return [names[place] for place in sorted({0, len(names) // 2, len(names) - 1})] if names else []
