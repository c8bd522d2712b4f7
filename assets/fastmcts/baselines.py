"""The samplers under comparison as rules over one tree and one budget: FastMCTS, ablations, and what it replaces."""

from __future__ import annotations

from dataclasses import replace

from assets.fastmcts.tree import Rule


def without_stay(rule: Rule) -> Rule:
    """The search always goes down from a full node (specification: ablation)."""
    return replace(rule, stay=False)


def without_dynamic(rule: Rule) -> Rule:
    """UCT with a constant exploration factor (specification: ablation)."""
    return replace(rule, dynamic=None)


def vanilla(rule: Rule) -> Rule:
    """MCTS as it is known: rollouts are discarded but for their first step, neither stay nor dynamic exploration."""
    return replace(rule, stay=False, dynamic=None, reserve=False)


def rejection(rule: Rule) -> Rule:
    """Rejection sampling: every answer is drawn anew from the problem."""
    return replace(rule, from_root=True)
