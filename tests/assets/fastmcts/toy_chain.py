"""The specification's simulator: chains of steps that go wrong with a problem's own chance, without any model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assets.fastmcts.tree import ROOT, Rule, Tree

STEPS = 8
RIGHT = 1


@dataclass(frozen=True)
class Found:
    """Right leaves of each problem, and the tokens (one per step) that all of them took."""

    right: np.ndarray
    tokens: int

    @property
    def per_token(self) -> float:
        return float(self.right.sum() / self.tokens)

    @property
    def solve_rate(self) -> float:
        """In per cent."""
        return float(100 * (self.right > 0).mean())


def search(
    rule: Rule, *, problems: int = 800, recovery: float = 0.0, trajectories: int | None = None, seed: int = 0
) -> Found:
    """Searches every problem for 16 solutions' worth of tokens, or for a number of simulations.

    A step is right with the problem's accuracy ~ Beta(8, 2) when all before it were, else with `recovery`.
    """
    right, tokens = [], 0
    for problem, accuracy in enumerate(np.random.default_rng(seed).beta(8, 2, problems)):
        noise = np.random.default_rng([seed, problem])
        tree, used, count, found = Tree(), 0, 0, 0
        while (used < 16 * STEPS) if trajectories is None else (count < trajectories):
            start = tree.select(rule)
            node = tree.nodes[start]
            good = start == ROOT or node.step == (RIGHT,)
            steps: list[tuple[int, ...]] = []
            for chance in noise.random(STEPS - node.depth):
                good = bool(chance < (accuracy if good else recovery))
                steps.append((RIGHT if good else 0,))
            tree.add(start, steps, good, count, rule)
            used, count, found = used + len(steps), count + 1, found + good
        right.append(found)
        tokens += used
    return Found(np.array(right), tokens)
