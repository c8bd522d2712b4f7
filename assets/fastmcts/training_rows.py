"""Assets that models are trained on: right answers of both samplers, and preference pairs from the trees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.problems import EVALUATION
from assets.core.recipe import Input, recipe
from assets.fastmcts.arms import PAIR_ARMS, SAMPLED_ARMS, SFT_ARMS
from assets.fastmcts.assets import POLICY, PROBLEMS_OF_USER
from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.config import SEEDS, PathsConfig, PreferencesConfig
from assets.fastmcts.extract import Preference, diverse_leaves, even_share, preferences, swapped_by_coin
from assets.fastmcts.measure import unequal_budgets, within_budget
from assets.fastmcts.rows import trees_of
from assets.fastmcts.tree import Tree

PATHS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "arm": pl.String(),
        "seed": pl.Int64(),
        "problem_id": pl.String(),
        "question": pl.String(),
        "rank": pl.Int64(),
        "path": pl.List(pl.Int64()),
        "response": pl.String(),
        "token_ids": pl.List(pl.Int64()),
        "verified": pl.Boolean(),
    }
)
PAIRS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "arm": pl.String(),
        "seed": pl.Int64(),
        "problem_id": pl.String(),
        "question": pl.String(),
        "level": pl.String(),
        "chosen_node": pl.Int64(),
        "rejected_node": pl.Int64(),
        "prefix": pl.String(),
        "chosen": pl.String(),
        "rejected": pl.String(),
        "score_chosen": pl.Float64(),
        "score_rejected": pl.Float64(),
        "visits_chosen": pl.Int64(),
        "visits_rejected": pl.Int64(),
        "prefix_ids": pl.List(pl.Int64()),
        "chosen_ids": pl.List(pl.Int64()),
        "rejected_ids": pl.List(pl.Int64()),
    }
)


@recipe(
    "fastmcts/sft_rows",
    inputs={
        "screened": Input("fastmcts/problems"),
        "problems": PROBLEMS_OF_USER,
        "fastmcts": Input("fastmcts/simulations"),
        "rejection": Input("fastmcts/rejection"),
        "policy": POLICY,
    },
    partitions=SEEDS,
    checks=("equal_budget", "only_right_answers", "no_evaluation_problem_in_training"),
    tags={"stage": "extract"},
)
def sft_rows(
    out: DatasetWriter,
    config: PathsConfig,
    screened: Dataset,
    problems: Dataset,
    fastmcts: Dataset,
    rejection: Dataset,
    policy: Dataset,
    partition: str,
) -> None:
    """Right answers of rejection sampling and of FastMCTS from one token budget, different branches first; and both
    cut to equally many rows."""
    questions, budgets = questions_and_budgets(screened.read())
    codec = ChatCodec(policy.folder, "\n")
    frames, spent, over = {}, {}, {}
    for arm, dataset in zip(SAMPLED_ARMS, (rejection, fastmcts), strict=True):
        rows = dataset.read()
        spent[arm], over[arm] = int(rows["tokens_generated"].sum()), unequal_budgets(rows, budgets)
        trees = dict(trees_of(within_budget(rows, budgets)))
        frames[arm] = paths_frame(trees, questions, codec, arm, int(partition), config.paths_per_problem)
        right = sum(len(tree.right_leaves()) for tree in trees.values())
        out.ledger.rows_in += right
        out.ledger.drop("beyond_paths_per_problem", right - frames[arm].height)
    fewest = min(frame.height for frame in frames.values())
    for arm in SAMPLED_ARMS:
        cut = cut_to(frames[arm], fewest, f"{arm}_equal_rows")
        out.ledger.rows_in += frames[arm].height
        out.ledger.drop("equal_rows", frames[arm].height - cut.height)
        frames[f"{arm}_equal_rows"] = cut
    for arm in SFT_ARMS:
        out.write(frames[arm], part=arm)
    written = pl.concat(frames.values())
    out.check("equal_budget", not any(over.values()), spent=spent, problems=over)
    out.check("only_right_answers", bool(written["verified"].all()), rows=written.height)
    out.check("no_evaluation_problem_in_training", not (shared := evaluated(written, problems)), shared=shared[:5])
    out.describe(
        rows={arm: frame.height for arm, frame in frames.items()},
        distinct={arm: frame.select("problem_id", "response").n_unique() for arm, frame in frames.items()},
        problems={arm: frame["problem_id"].n_unique() for arm, frame in frames.items()},
    )


def questions_and_budgets(screened: pl.DataFrame) -> tuple[dict[str, str], dict[str, int]]:
    """By the id in the problem set."""
    ids = screened["parents"].list.first()
    return dict(zip(ids, screened["question"], strict=True)), dict(zip(ids, screened["budget"], strict=True))


def paths_frame(
    trees: Mapping[str, Tree], questions: Mapping[str, str], codec: ChatCodec, arm: str, seed: int, most: int
) -> pl.DataFrame:
    """A row for each chosen answer; `rank` is its place among those of its problem, the most different first."""
    rows = []
    for problem, tree in trees.items():
        for rank, leaf in enumerate(diverse_leaves(tree, most)):
            tokens, node = tree.prefix(leaf), tree.nodes[leaf]
            rows.append(
                {
                    "id": content_id("path", arm, str(seed), problem, str(leaf)),
                    "parents": [problem],
                    "arm": arm,
                    "seed": seed,
                    "problem_id": problem,
                    "question": questions[problem],
                    "rank": rank,
                    "path": tree.path(leaf),
                    "response": codec.text(tokens),
                    "token_ids": list(tokens),
                    "verified": node.terminal and node.wins == node.visits == 1,
                }
            )
    return pl.DataFrame(rows, schema=PATHS)


def cut_to(frame: pl.DataFrame, total: int, arm: str) -> pl.DataFrame:
    """`total` of the rows as another arm, from each problem its most different answers."""
    share = even_share(dict(frame.group_by("problem_id").len().iter_rows()), total)
    kept = frame.filter(pl.col("rank") < pl.col("problem_id").replace_strict(share, default=0, return_dtype=pl.Int64))
    ids = [content_id("cut", arm, name) for name in kept["id"]]
    return kept.with_columns(arm=pl.lit(arm), parents=pl.concat_list("id"), id=pl.Series(ids, dtype=pl.String))


def evaluated(rows: pl.DataFrame, problems: Dataset) -> list[str]:
    """Training problems that are problems of the evaluation, by id or by question."""
    held = problems.read("id", "question", "split").filter(pl.col("split").is_in(EVALUATION))
    ids, questions = set(held["id"]), set(held["question"])
    shared = rows.filter(pl.col("problem_id").is_in(ids) | pl.col("question").is_in(questions))
    return shared["problem_id"].unique().sort().to_list()


@recipe(
    "fastmcts/preferences",
    inputs={
        "screened": Input("fastmcts/problems"),
        "problems": PROBLEMS_OF_USER,
        "simulations": Input("fastmcts/simulations"),
        "policy": POLICY,
    },
    partitions=SEEDS,
    checks=("rejected_was_never_right", "no_evaluation_problem_in_training"),
    tags={"stage": "extract"},
)
def preference_pairs(
    out: DatasetWriter,
    config: PreferencesConfig,
    screened: Dataset,
    problems: Dataset,
    simulations: Dataset,
    policy: Dataset,
    partition: str,
) -> None:
    """Branches that never led to a right answer against siblings that did; as a control the same pairs, with chosen and
    rejected by a coin."""
    questions, budgets = questions_and_budgets(screened.read())
    codec = ChatCodec(policy.folder, "\n")
    dropped, rows = Counter[str](), []
    for problem, tree in trees_of(within_budget(simulations.read(), budgets)):
        pairs, without = preferences(tree, level=config.level, min_visits=config.min_visits)
        dropped += without
        place = {"problem_id": problem, "question": questions[problem], "level": config.level, "seed": int(partition)}
        rows += [place | pair_row(pair, tree, codec, "branch_pairs", problem, partition) for pair in pairs]
        swapped = [_swapped(pair) if swapped_by_coin(pair, problem) else pair for pair in pairs]
        rows += [place | pair_row(pair, tree, codec, "random_pairs", problem, partition) for pair in swapped]
    frame = pl.DataFrame(rows, schema=PAIRS)
    out.ledger.rows_in = frame.height + 2 * dropped.total()
    for reason, count in dropped.items():
        out.ledger.drop(reason, 2 * count)
    for arm in PAIR_ARMS:
        out.write(frame.filter(pl.col("arm") == arm), part=arm)
    pairs = frame.filter(pl.col("arm") == "branch_pairs")
    sound = pairs.filter((pl.col("score_rejected") == 0) & (pl.col("visits_rejected") >= config.min_visits))
    out.check("rejected_was_never_right", sound.height == pairs.height, pairs=pairs.height)
    out.check("no_evaluation_problem_in_training", not (shared := evaluated(frame, problems)), shared=shared[:5])
    out.describe(
        pairs=pairs.height,
        problems=pairs["problem_id"].n_unique(),
        visits_rejected=dict(
            sorted((str(visits), count) for visits, count in Counter(pairs["visits_rejected"]).items())
        ),
    )


def _swapped(pair: Preference) -> Preference:
    return Preference(
        pair.parent, pair.rejected_node, pair.chosen_node, pair.prefix, pair.rejected, pair.chosen
    )  # fmt: skip


def pair_row(
    pair: Preference, tree: Tree, codec: ChatCodec, arm: str, problem: str, partition: str
) -> dict[str, object]:
    """What a pair compares, as text and as token ids, with the counts of both nodes."""
    chosen, rejected = tree.nodes[pair.chosen_node], tree.nodes[pair.rejected_node]
    return {
        "id": content_id("pair", arm, partition, problem, str(pair.chosen_node), str(pair.rejected_node)),
        "parents": [problem],
        "arm": arm,
        "chosen_node": pair.chosen_node,
        "rejected_node": pair.rejected_node,
        "prefix": codec.text(pair.prefix),
        "chosen": codec.text(pair.chosen),
        "rejected": codec.text(pair.rejected),
        "score_chosen": chosen.score,
        "score_rejected": rejected.score,
        "visits_chosen": chosen.visits,
        "visits_rejected": rejected.visits,
        "prefix_ids": list(pair.prefix),
        "chosen_ids": list(pair.chosen),
        "rejected_ids": list(pair.rejected),
    }
