"""Assets of FastMCTS's evaluation: greedy answers of every arm, the tree's labels against the truth, and the claims."""

from __future__ import annotations

from dataclasses import asdict

import polars as pl

from assets.claims.claim import claims_frame, markdown_table
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.policy_engine import PolicyEngineResource
from assets.core.recipe import CHEAP, Input, recipe
from assets.core.rollouts import RUN_RECORD, greedy, prompt_ids, record_rows
from assets.core.verifier import Verifier, verifier_identity
from assets.fastmcts import plots
from assets.fastmcts.arms import ARMS, CHECKPOINT_OF, POLICY_KEY
from assets.fastmcts.assets import POLICY, PROBLEMS_OF_USER
from assets.fastmcts.claims import KINDS, Searches, curves, measure_claims, precision_by_visits, right_by_difficulty
from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.config import SEEDS, EvaluateConfig
from assets.fastmcts.labels import labelled_steps
from assets.fastmcts.rows import trees_of
from assets.worlds.chain_arith.problems import Rule as ArithmeticRule
from assets.worlds.chain_arith.problems import parse_question

LABELS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "seed": pl.Int64(),
        "problem_id": pl.String(),
        "node": pl.Int64(),
        "depth": pl.Int64(),
        "visits": pl.Int64(),
        "wins": pl.Int64(),
        "rejected": pl.Boolean(),
        "repeated": pl.Boolean(),
        "wrong": pl.Boolean(),
    }
)


def score_checkpoint(
    out: DatasetWriter,
    config: EvaluateConfig,
    checkpoint: Dataset,
    problems: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """Greedy answers of a checkpoint to the test problems, graded; the same problems for every arm and seed."""
    from models.training.chat import load_chat_tokenizer

    asked = problems.read().filter(pl.col("split") == "test").sort("id")
    asked = asked.head(config.n_problems or asked.height)
    arm = "policy" if checkpoint.manifest.key == POLICY_KEY else checkpoint.manifest.key.rsplit("/", 1)[-1]
    prompts = prompt_ids(load_chat_tokenizer(checkpoint.folder), asked["question"].to_list())
    with policy_engine.open(checkpoint.folder, out.work / "logs") as engine, Verifier() as verifier:
        answers = greedy(engine, verifier, asked, prompts, config.max_tokens)
    frame = record_rows(asked, answers, checkpoint=checkpoint.read("id")["id"][0], arm=arm, seed=int(partition))
    out.ledger.rows_in = asked.height
    out.write(frame)
    out.check("every_problem_scored", frame.height == asked.height > 0, problems=frame.height)
    out.describe(accuracy=round(float(frame["score"].sum()) / max(1, frame.height), 4), arm=arm)


SCORED = [
    recipe(
        f"fastmcts/scores/{arm}",
        inputs={"checkpoint": Input(CHECKPOINT_OF[arm]), "problems": PROBLEMS_OF_USER},
        partitions=SEEDS,
        external=verifier_identity,
        checks=("every_problem_scored",),
        resources=("policy_engine",),
        kinds={"pytorch"},
        tags={"stage": "evaluate"},
    )(score_checkpoint)
    for arm in ARMS
]


@recipe(
    "fastmcts/label_check",
    inputs={
        "simulations": Input("fastmcts/simulations"),
        "world": Input("worlds/chain_arith"),
        "policy": POLICY,
    },
    partitions=SEEDS,
    tags={"stage": "evaluate"},
)
def label_check(out: DatasetWriter, simulations: Dataset, world: Dataset, policy: Dataset, partition: str) -> None:
    """Every step of the trees with the search's opinion and the world's truth, which no training sees; trees of other
    problems than ChainArith's are dropped."""
    said = world.manifest.metadata["rule"]
    rule = ArithmeticRule(said["modulus"], said["order"])
    questions = dict(world.read("id", "question").iter_rows())
    codec, rows = ChatCodec(policy.folder, "\n"), []
    for problem, tree in trees_of(simulations.read()):
        steps = len(tree.nodes) - 1
        out.ledger.rows_in += steps
        if problem not in questions:
            out.ledger.drop("not_chain_arith", steps)
            continue
        for step in labelled_steps(tree, parse_question(questions[problem]), rule, codec):
            name = content_id("label", partition, problem, str(step.node))
            place = {"id": name, "parents": [problem], "seed": int(partition), "problem_id": problem}
            rows.append(place | asdict(step))
    frame = pl.DataFrame(rows, schema=LABELS)
    out.write(frame)
    out.describe(precision={
        kind: {str(visits): share for visits, (share, _) in precision_by_visits(frame, kind).items()} for kind in KINDS
    })  # fmt: skip


@recipe(
    "claims/fastmcts",
    inputs={
        "problems": Input("fastmcts/problems", all_partitions=True),
        "fastmcts": Input("fastmcts/simulations", all_partitions=True),
        "rejection": Input("fastmcts/rejection", all_partitions=True),
        "vanilla": Input("fastmcts/vanilla", all_partitions=True),
        "ablations": Input("fastmcts/ablations", all_partitions=True),
        "labels": Input("fastmcts/label_check", all_partitions=True),
        **{f"scores_{arm}": Input(f"fastmcts/scores/{arm}", all_partitions=True) for arm in ARMS},
    },
    ledger=False,
    checks=("no_unfinished_budget",),
    tags={"stage": "claims"},
    automation=CHEAP,
)
def fastmcts_claims(out: DatasetWriter, **by_name: dict[str, Dataset]) -> None:
    """The claims of FastMCTS in the small: differences, intervals, verdicts."""
    screened = _all(by_name["problems"])
    budgeted = Searches(screened, {arm: _all(by_name[arm]) for arm in ("fastmcts", "rejection", "vanilla")})
    ablated = _all(by_name["ablations"])
    variants = {} if ablated.is_empty() else {
        str(name): rows for (name,), rows in ablated.group_by("sampler", maintain_order=True)
    }  # fmt: skip
    scored = (_all(by_name[f"scores_{arm}"]) for arm in ARMS)
    scores = pl.concat([pl.DataFrame(schema=RUN_RECORD), *scored], how="diagonal")
    labels = _all(by_name["labels"])
    rows = claims_frame(list(measure_claims(budgeted, Searches(screened, variants), scores, labels)))
    out.write(rows)
    out.check("no_unfinished_budget", not (short := budgeted.unfinished()), problems=short)
    out.describe(table=markdown_table(rows), verdicts=dict(rows["verdict"].value_counts().iter_rows()))
    accuracy = scores.group_by("arm", "seed").agg(pl.col("score").mean().round(4)).sort("arm", "seed")
    out.describe(accuracy={arm: accuracy.filter(pl.col("arm") == arm)["score"].to_list() for arm in ARMS})
    if budgeted.seeds:
        right, solved = curves(budgeted)
        share = "share of the token budget"
        out.plot("right_paths", plots.plot_curves(right, x=share, y="right paths per problem"))
        out.plot("solved", plots.plot_curves(solved, x=share, y="share of problems with a right path"))
        out.plot("balance", plots.plot_bars(
            right_by_difficulty(budgeted), x="difficulty (operations)", y="right paths per problem"))  # fmt: skip
    if labels.height:
        shares = {
            text: {float(visits): [share] for visits, (share, _) in precision_by_visits(labels, kind).items()}
            for kind, text in KINDS.items()
        }
        out.plot("label_precision", plots.plot_curves(
            shares, x="least visits without a right answer", y="share that is really wrong"))  # fmt: skip


def _all(partitions: dict[str, Dataset]) -> pl.DataFrame:
    """The rows of all seeds."""
    return pl.concat([dataset.read() for _, dataset in sorted(partitions.items())] or [pl.DataFrame()])
