"""Training data from a tree: diverse paths, and pairs whose two sides the tree tells apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.fastmcts.extract import (
    Preference,
    diverse_leaves,
    even_share,
    preferences,
    shared_steps,
    swapped_by_coin,
)
from assets.fastmcts.tree import ROOT, Rule, Tree


def grown(*simulations: tuple[int, list[int], bool]) -> Tree:
    """A tree of simulations (start, steps, verdict); a step is one token."""
    tree = Tree()
    for iteration, (start, steps, won) in enumerate(simulations):
        tree.add(start, [(step,) for step in steps], won, iteration, Rule())
    return tree


def test_different_branches_come_first() -> None:
    """The path that leaves earliest is taken next, not the next oldest, which shares all but its last step."""
    tree = grown((ROOT, [1, 2, 3], True), (2, [3], True), (1, [2, 3], True), (ROOT, [1, 2, 3], True))
    # Leaves 3 (oldest), 4 below its second step, 6 below its first, 9 on a branch of its own.
    assert diverse_leaves(tree, 4) == [3, 9, 6, 4]
    assert diverse_leaves(tree, 2) == [3, 9]


def test_wrong_leaves_are_never_taken() -> None:
    """A path is training data only if its answer is right."""
    tree = grown((ROOT, [1, 2], False), (ROOT, [1, 2], True))
    assert diverse_leaves(tree, 16) == [4]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 4), st.booleans()), max_size=25), st.integers(0, 8))
def test_greedy_choice_maximises_early_divergence(drawn: list[tuple[int, int, bool]], most: int) -> None:
    """Each leaf taken shares as few steps with those before it as any that was left."""
    tree = Tree()
    for iteration, (where, steps, won) in enumerate(drawn):
        open_nodes = [place for place, node in enumerate(tree.nodes) if not node.terminal]
        tree.add(open_nodes[where % len(open_nodes)], [(1,)] * steps, won, iteration, Rule())
    taken = diverse_leaves(tree, most)
    right = set(tree.right_leaves())
    assert len(taken) == len(set(taken)) == min(most, len(right))
    for place, leaf in enumerate(taken[1:], start=1):
        shared = {
            each: max(shared_steps(tree.path(each), tree.path(before)) for before in taken[:place])
            for each in right - set(taken[:place])
        }
        assert shared[leaf] == min(shared.values())


# Node 1 (token 1) leads to a right answer, node 4 (token 7) was tried twice and always wrong, node 7 once.
TREE = grown(
    (ROOT, [1, 2, 3], True), (ROOT, [7, 8], False), (4, [9], False), (ROOT, [5, 6], False)
)  # fmt: skip


def test_pairs_need_visits() -> None:
    """A zero score after one visit may be bad luck; the others are counted."""
    pairs, dropped = preferences(TREE, level="step", min_visits=2)
    assert [(pair.parent, pair.chosen_node, pair.rejected_node) for pair in pairs] == [(ROOT, 1, 4)]
    assert dropped == {"few_visits": 1}
    assert len(preferences(TREE, level="step", min_visits=1)[0]) == 2


@pytest.mark.parametrize(("level", "chosen", "rejected"), [("step", (1,), (7,)), ("branch", (1, 2, 3), (7, 8))])
def test_pair_of_steps_or_of_branches(level: str, chosen: tuple[int, ...], rejected: tuple[int, ...]) -> None:
    """One step each, or each to an answer's end: the right leaf on one side, the oldest on the other."""
    (pair,), _ = preferences(TREE, level=level, min_visits=2)  # type: ignore[arg-type]
    assert (pair.prefix, pair.chosen, pair.rejected) == ((), chosen, rejected)


def test_a_step_that_a_right_answer_repeats_is_not_rejected() -> None:
    """Two nodes with one text, one of them unlucky: their pair would teach nothing."""
    tree = grown((ROOT, [1, 2], True), (ROOT, [1, 9], False))
    assert preferences(tree, level="branch", min_visits=1) == ([], {"step_of_a_right_answer": 1})


def test_nodes_below_a_hopeless_one_make_no_pairs_of_their_own() -> None:
    """Where a wrong step was taken before, no sibling is right: only the first wrong branch is a rejected one."""
    pairs, _ = preferences(TREE, level="step", min_visits=1)
    assert {pair.rejected_node for pair in pairs} == {4, 7}


def test_equal_rows_are_cut_evenly() -> None:
    """A smaller share takes from the problems with most rows, not from the last problems."""
    assert even_share({"a": 5, "b": 1, "c": 2}, 5) == {"a": 2, "b": 1, "c": 2}
    assert even_share({"a": 5, "b": 1}, 99) == {"a": 5, "b": 1}


def test_coin_is_fair_and_fixed() -> None:
    """The control swaps about half of the pairs, and the same ones in every run."""
    pairs = [Preference(0, place, place + 1, (), (), ()) for place in range(400)]
    swapped = [swapped_by_coin(pair, "p") for pair in pairs]
    assert swapped == [swapped_by_coin(pair, "p") for pair in pairs]
    assert 160 < sum(swapped) < 240
