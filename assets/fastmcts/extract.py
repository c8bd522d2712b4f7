"""Training data from a tree: right answers from different branches, and preference pairs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from assets.fastmcts.tree import Step, Tree

Level = Literal["step", "branch"]


def diverse_leaves(tree: Tree, most: int) -> list[int]:
    """At most `most` right leaves, different branches first (specification: SFT extraction).

    Greedy: the oldest right leaf, then always the one whose path leaves those already taken earliest; of equal ones
    the oldest. Paths are not compared as texts: a generator may write the same answer in two branches.
    """
    paths = {leaf: tree.path(leaf) for leaf in tree.right_leaves()}
    shared = dict.fromkeys(paths, 0)
    taken: list[int] = []
    while shared and len(taken) < most:
        leaf = min(shared, key=lambda each: (shared[each], each))
        del shared[leaf]
        taken.append(leaf)
        for other in shared:
            shared[other] = max(shared[other], shared_steps(paths[other], paths[leaf]))
    return taken


def shared_steps(path: list[int], other: list[int]) -> int:
    """How many nodes two paths from the root have in common, the root not counted."""
    alike = 0
    for node, fellow in zip(path[1:], other[1:], strict=False):
        if node != fellow:
            break
        alike += 1
    return alike


@dataclass(frozen=True)
class Preference:
    """A chosen and a rejected continuation of one prefix, as nodes of the tree and as token ids."""

    parent: int
    chosen_node: int
    rejected_node: int
    prefix: Step
    chosen: Step
    rejected: Step


def preferences(tree: Tree, *, level: Level, min_visits: int) -> tuple[list[Preference], Counter[str]]:
    """A pair for every node whose answers were all wrong, below a node that leads to a right one; and why others
    have none.

    The rejected node has score 0 after at least `min_visits` visits: a single wrong answer may just be bad luck.
    Chosen is its sibling with the highest score, of equal ones the most visited. A pair is the two steps, or the two
    branches: from the chosen sibling to its oldest right leaf, from the rejected node to its oldest leaf. A rejected
    step that a right sibling repeats says the opposite of what the pair would teach, and is dropped.
    """
    found, dropped = [], Counter[str]()
    right = {node for leaf in tree.right_leaves() for node in tree.path(leaf)}
    for rejected, node in enumerate(tree.nodes):
        if node.parent is None or node.wins or node.parent not in right:
            continue
        siblings = [each for each in tree.nodes[node.parent].children if each in right]
        if node.visits < min_visits:
            dropped["few_visits"] += 1
        elif node.step in {tree.nodes[each].step for each in siblings}:
            dropped["step_of_a_right_answer"] += 1
        else:
            chosen = max(siblings, key=lambda each: (tree.nodes[each].score, tree.nodes[each].visits, -each))
            sides = (chosen, rejected) if level == "step" else (_leaf(tree, chosen, right), _leaf(tree, rejected))
            begin = len(tree.prefix(node.parent))
            texts = [tree.prefix(each)[begin:] for each in sides]
            found.append(Preference(node.parent, chosen, rejected, tree.prefix(node.parent), *texts))
    return found, dropped


def _leaf(tree: Tree, node: int, among: set[int] | None = None) -> int:
    """The end of the oldest branch below the node, of those `among`."""
    while children := [each for each in tree.nodes[node].children if among is None or each in among]:
        node = children[0]
    return node


def swapped_by_coin(pair: Preference, name: str) -> bool:
    """The control: whether chosen and rejected change places, by a coin that the pair's name tosses."""
    return Random(f"{name}:{pair.chosen_node}:{pair.rejected_node}").random() < 0.5


def even_share(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """How many rows each problem keeps when `total` may stay: one each, then a second each, and so on.

    Within the last round problems go by name; ids are hashes, so that their order is a draw.
    """
    by_round = sorted((place, name) for name, count in counts.items() for place in range(count))
    return dict(Counter(name for _, name in by_round[:total]))
