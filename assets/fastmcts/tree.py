"""The search tree over reasoning steps, and where the next simulation of it starts.

Pure: nothing here knows text, models or verifiers. A simulation is a list of steps (token ids) that goes on from a
node to the end of an answer, with the verifier's verdict; *reserve simulation* keeps every one of its steps as a node
of its own. A step equal to that of a sibling stays a node of its own too: the source says that every step becomes a
node, and a merged node could not tell how often the generator proposes it (our default; `measure.py` counts distinct
answers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

ROOT = 0
Step = tuple[int, ...]


@dataclass
class Node:
    """One step. `visits` and `wins` count the simulations that go through it; its score is wins over visits."""

    step: Step
    parent: int | None
    depth: int
    iteration: int
    terminal: bool = False
    visits: int = 0
    wins: int = 0
    children: list[int] = field(default_factory=list)

    @property
    def score(self) -> float:
        """Share of right answers among its simulations, the Monte-Carlo value; 0 before the first."""
        return self.wins / self.visits if self.visits else 0.0


@dataclass(frozen=True)
class Rule:
    """How the next start is chosen. Defaults are the source's where it names one.

    A node with fewer children than its degree is expanded. A full one gets a further branch where its score lies in
    (0, low] or [high, 1) (*adaptive stay*; with `stay_low_inclusive_zero` in [0, low]), else the search goes on to the
    child with the highest UCT. With `dynamic` the exploration constant is multiplied by the score of the parent, or of
    the child itself, once that node has more than one visit. `reserve` keeps all steps of a simulation, else only the
    first; with `from_root` every simulation starts at the root, which is rejection sampling.
    """

    root_degree: int = 3
    degree: int = 2
    c: float = 1.0
    low: float = 0.2
    high: float = 0.8
    stay: bool = True
    # Read literally, a score of exactly 0 is no reason to stay: hard problems are then lost below one wrong branch.
    stay_low_inclusive_zero: bool = True
    dynamic: Literal["parent", "child"] | None = "parent"
    reserve: bool = True
    from_root: bool = False

    def degree_of(self, node: int) -> int:
        return self.root_degree if node == ROOT else self.degree

    def stays(self, score: float) -> bool:
        """Whether a full node with this score gets a further branch."""
        at_bottom = score >= 0 if self.stay_low_inclusive_zero else score > 0
        return self.stay and ((at_bottom and score <= self.low) or self.high <= score < 1)


class Tree:
    """The nodes of one problem; node 0 is the problem itself, with an empty step."""

    def __init__(self) -> None:
        self.nodes: list[Node] = [Node((), None, 0, -1)]

    def path(self, node: int) -> list[int]:
        """From the root to the node, both included."""
        found = [node]
        while (parent := self.nodes[found[-1]].parent) is not None:
            found.append(parent)
        return found[::-1]

    def prefix(self, node: int) -> Step:
        """The token ids of all steps up to the node, its own included."""
        return tuple(token for each in self.path(node) for token in self.nodes[each].step)

    def select(self, rule: Rule) -> int:
        """The node from which the next simulation starts; never a terminal one.

        A full node whose children all end answers has nothing to go on to and gets a further branch (our default).
        """
        node = ROOT
        while not rule.from_root:
            here = self.nodes[node]
            going_on = [child for child in here.children if not self.nodes[child].terminal]
            if len(here.children) < rule.degree_of(node) or rule.stays(here.score) or not going_on:
                break
            # Of equal children the oldest: max keeps the first.
            node = max(going_on, key=lambda child: uct(self.nodes[child], here, rule))
        return node

    def add(self, start: int, steps: Sequence[Step], won: bool, iteration: int, rule: Rule) -> int:
        """Keeps a simulation that went on from `start` to an answer's end, and backs its verdict up to the root.

        Returns the last node kept: the answer's leaf, unless `rule` discards rollouts. Raises ValueError for a
        simulation without steps, or one that goes on behind an answer's end.
        """
        if not steps or self.nodes[start].terminal:
            raise ValueError("a simulation needs at least one step, and starts at a node that is not terminal")
        node = start
        for place, step in enumerate(steps if rule.reserve else steps[:1]):
            self.nodes[node].children.append(len(self.nodes))
            ends = place == len(steps) - 1
            self.nodes.append(Node(tuple(step), node, self.nodes[node].depth + 1, iteration, ends))
            node = len(self.nodes) - 1
        for each in self.path(node):
            self.nodes[each].visits += 1
            self.nodes[each].wins += won
        return node

    def right_leaves(self) -> list[int]:
        """Terminal nodes whose answer is right, oldest first."""
        return [place for place, node in enumerate(self.nodes) if node.terminal and node.wins]


def uct(child: Node, parent: Node, rule: Rule) -> float:
    """w/n + c·sqrt(ln N / n) with N the parent's visits; c is scaled as `rule.dynamic` says."""
    scaled_by = {"parent": parent, "child": child}.get(rule.dynamic or "")
    c = rule.c * scaled_by.score if scaled_by is not None and scaled_by.visits > 1 else rule.c
    return child.score + c * math.sqrt(math.log(parent.visits) / child.visits)
