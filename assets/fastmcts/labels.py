"""How right a tree's labels are: its steps against ChainArith's step checker. Pure; only for measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from assets.fastmcts.search import Codec
from assets.fastmcts.tree import Tree
from assets.worlds.chain_arith.problems import Problem, Rule
from assets.worlds.chain_arith.steps import check_steps


@dataclass(frozen=True)
class Labelled:
    """A step of a tree: what the search says of it, and whether the step checker finds it wrong.

    `rejected`: no answer through it was right, and its parent leads to a right one. `repeated`: a sibling that leads to
    a right answer is the same step, so that no preference pair is made of it.
    """

    node: int
    depth: int
    visits: int
    wins: int
    rejected: bool
    repeated: bool
    wrong: bool


def labelled_steps(tree: Tree, problem: Problem, rule: Rule, codec: Codec) -> Iterator[Labelled]:
    """Every step of a tree whose steps are lines."""
    for place, node in enumerate(tree.nodes):
        if node.parent is None:
            continue
        correct = check_steps(problem, codec.text(tree.prefix(place)), rule).correct
        siblings = [tree.nodes[each] for each in tree.nodes[node.parent].children]
        rejected = not node.wins and any(each.wins for each in siblings)
        repeated = rejected and any(each.wins and each.step == node.step for each in siblings)
        wrong = not correct[-1] if correct else True
        yield Labelled(place, node.depth, node.visits, node.wins, rejected, repeated, wrong)
