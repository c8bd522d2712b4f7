"""Simulations and trees as rows, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

import polars as pl

from assets.core.ids import content_id
from assets.fastmcts.search import Codec, Simulation
from assets.fastmcts.tree import Rule, Tree

SIMULATIONS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "sampler": pl.String(),
        "seed": pl.Int64(),
        "problem_id": pl.String(),
        "iteration": pl.Int64(),
        "start_node": pl.Int64(),
        "leaf_node": pl.Int64(),
        "tokens_generated": pl.Int64(),
        "prefix_tokens": pl.Int64(),
        "prompt_tokens": pl.Int64(),
        "outcome": pl.String(),
        "verdict": pl.Boolean(),
        # Whether the tree kept the answer's leaf: a search that discards rollouts has a verdict, but rarely a path.
        "kept": pl.Boolean(),
        "few_shot_ids": pl.List(pl.String()),
        "token_ids": pl.List(pl.Int64()),
        "step_lengths": pl.List(pl.Int64()),
        "response": pl.String(),
    }
)
NODES = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "problem_id": pl.String(),
        "node_id": pl.Int64(),
        "parent_id": pl.Int64(),
        "depth": pl.Int64(),
        "step_text": pl.String(),
        "n_tokens": pl.Int64(),
        "visit": pl.Int64(),
        "win": pl.Int64(),
        "terminal": pl.Boolean(),
        "iteration_created": pl.Int64(),
    }
)


def simulations_frame(
    simulations: Sequence[Simulation], *, sampler: str, seed: int, policy: str, rule: Rule
) -> pl.DataFrame:
    """A row per simulation, by problem and iteration, whatever the order in which they were finished."""
    rows = [
        {
            "id": simulation_id(sampler, policy, each.problem, each.iteration, seed),
            "parents": [each.problem, policy],
            "sampler": sampler,
            "seed": seed,
            "problem_id": each.problem,
            "iteration": each.iteration,
            "start_node": each.start,
            "leaf_node": each.leaf,
            "tokens_generated": each.tokens,
            "prefix_tokens": each.prefix_tokens,
            "prompt_tokens": each.prompt_tokens,
            "outcome": each.outcome,
            "verdict": each.won,
            "kept": rule.reserve or len(each.steps) == 1,
            "few_shot_ids": list(each.shots),
            "token_ids": [token for step in each.steps for token in step],
            "step_lengths": [len(step) for step in each.steps],
            "response": each.response,
        }
        for each in sorted(simulations, key=lambda each: (each.problem, each.iteration))
    ]
    return pl.DataFrame(rows, schema=SIMULATIONS)


def simulation_id(sampler: str, policy: str, problem: str, iteration: int, seed: int) -> str:
    return content_id("simulation", sampler, policy, problem, str(iteration), str(seed))


def trees_of(simulations: pl.DataFrame, rule: Rule | None = None) -> Iterator[tuple[str, Tree]]:
    """The tree of every problem, grown again from its simulations. Of the rule only what is kept matters."""
    rule = rule or Rule()
    wanted = ["problem_id", "start_node", "token_ids", "step_lengths", "verdict"]
    trees: dict[str, Tree] = {}
    counts: dict[str, int] = {}
    for problem, start, tokens, lengths, won in simulations.sort("problem_id", "iteration").select(wanted).iter_rows():
        bounds = [0, *accumulate(lengths)]
        steps = [tuple(tokens[begin:end]) for begin, end in pairwise(bounds)]
        iteration = counts.get(problem, 0)
        trees.setdefault(problem, Tree()).add(start, steps, won, iteration, rule)
        counts[problem] = iteration + 1
    yield from trees.items()


def nodes_frame(trees: Mapping[str, Tree], codec: Codec, ids: Mapping[tuple[str, int], str]) -> pl.DataFrame:
    """A row per node, the root with an empty step; `ids` are those of the simulations by problem and iteration."""
    rows = [
        {
            "id": content_id("node", problem, ids.get((problem, node.iteration), "root"), str(place)),
            "parents": [ids.get((problem, node.iteration), problem)],
            "problem_id": problem,
            "node_id": place,
            "parent_id": node.parent,
            "depth": node.depth,
            "step_text": codec.text(node.step),
            "n_tokens": len(node.step),
            "visit": node.visits,
            "win": node.wins,
            "terminal": node.terminal,
            "iteration_created": node.iteration,
        }
        for problem, tree in trees.items()
        for place, node in enumerate(tree.nodes)
    ]
    return pl.DataFrame(rows, schema=NODES)


def nodes_add_up(nodes: pl.DataFrame, simulations: pl.DataFrame) -> bool:
    """Whether visits and wins of every node are the sums over the simulations that pass through it.

    Counted from the leaves of the simulations upwards, without what grew the trees.
    """
    parents = {(problem, node): parent for problem, node, parent in nodes.select(
        "problem_id", "node_id", "parent_id").iter_rows()}  # fmt: skip
    counted = dict.fromkeys(parents, (0, 0))
    for problem, leaf, won in simulations.select("problem_id", "leaf_node", "verdict").iter_rows():
        node = leaf
        while node is not None:
            visits, wins = counted[problem, node]
            counted[problem, node] = visits + 1, wins + won
            node = parents[problem, node]
    return all(
        counted[problem, node] == (visit, win)
        for problem, node, visit, win in nodes.select("problem_id", "node_id", "visit", "win").iter_rows()
    )
