"""The tree: which node is chosen, what a simulation adds to it, and that counts add up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.fastmcts.baselines import rejection, vanilla, without_dynamic, without_stay
from assets.fastmcts.tree import ROOT, Node, Rule, Tree, uct

RULES = [
    Rule(), Rule(stay_low_inclusive_zero=False), Rule(dynamic="child"), without_stay(Rule()), without_dynamic(Rule()),
    vanilla(Rule()), rejection(Rule()),
]  # fmt: skip


def tree_of(*simulations: tuple[int, int, bool], rule: Rule | None = None) -> Tree:
    """A tree of simulations (start, number of steps, verdict)."""
    tree = Tree()
    for iteration, (start, steps, won) in enumerate(simulations):
        tree.add(start, [(place,) for place in range(steps)], won, iteration, rule or Rule())
    return tree


@pytest.mark.parametrize(
    ("dynamic", "exploration"), [(None, 1.5), ("parent", 1.5 * 0.5), ("child", 1.5 * 0.25)], ids=str
)
def test_uct_by_hand(dynamic: str | None, exploration: float) -> None:
    """A child with 1 win of 4 under a parent with 8 of 16: 1/4 + c·sqrt(ln 16 / 4), c scaled by the node named."""
    parent, child = Node((), None, 0, 0, visits=16, wins=8), Node((1,), 0, 1, 0, visits=4, wins=1)
    found = uct(child, parent, Rule(c=1.5, dynamic=dynamic))  # type: ignore[arg-type]
    assert found == pytest.approx(0.25 + exploration * math.sqrt(2.772588722 / 4))


def test_a_single_visit_does_not_scale_the_constant() -> None:
    """The constant is scaled only once the node has more than one visit."""
    parent, child = Node((), None, 0, 0, visits=9, wins=3), Node((1,), 0, 1, 0, visits=1, wins=0)
    assert uct(child, parent, Rule(dynamic="child")) == pytest.approx(math.sqrt(math.log(9)))


@pytest.mark.parametrize(
    ("score", "inclusive", "literal"),
    [(0.0, True, False), (0.01, True, True), (0.2, True, True), (0.21, False, False), (0.79, False, False),
     (0.8, True, True), (0.99, True, True), (1.0, False, False)],
)  # fmt: skip
def test_stay_intervals(score: float, inclusive: bool, literal: bool) -> None:
    """(0, .2] and [.8, 1); a score of 0 stays by our default alone, a score of 1 never."""
    assert Rule().stays(score) == inclusive
    assert Rule(stay_low_inclusive_zero=False).stays(score) == literal
    assert not without_stay(Rule()).stays(score)


def test_root_is_filled_first_and_inner_nodes_have_two_branches() -> None:
    """Three simulations from the root, then its best child gets its second branch."""
    tree = Tree()
    for iteration, won in enumerate([False, True, True, False]):
        start = tree.select(Rule())
        assert start == (ROOT if iteration < 3 else 3)
        tree.add(start, [(1,), (2,)], won, iteration, Rule())
    assert len(tree.nodes[3].children) == Rule().degree


def test_zero_score_at_the_root() -> None:
    """All wrong so far: our default draws a fresh answer, the literal rule goes on below a wrong step."""
    tree = tree_of((ROOT, 2, False), (ROOT, 2, False), (ROOT, 2, False))
    assert tree.select(Rule()) == ROOT
    assert tree.select(Rule(stay_low_inclusive_zero=False)) == 1


def test_terminal_nodes_are_never_selected() -> None:
    """Where all children end an answer there is no way down, and the node gets a further branch."""
    tree = tree_of((ROOT, 1, True), (ROOT, 1, False), (ROOT, 1, True))
    assert tree.select(without_stay(Rule())) == ROOT
    with pytest.raises(ValueError, match="not terminal"):
        tree.add(1, [(7,)], True, 3, Rule())


def test_reserve_simulation_keeps_every_step_and_vanilla_the_first() -> None:
    """What the baseline throws away: all but one step, so that an answer's leaf is hardly ever in its tree."""
    kept, discarded = tree_of((ROOT, 4, True)), tree_of((ROOT, 4, True), rule=vanilla(Rule()))
    assert [node.depth for node in kept.nodes] == [0, 1, 2, 3, 4]
    assert kept.right_leaves() == [4]
    assert [node.visits for node in discarded.nodes] == [1, 1]
    assert discarded.right_leaves() == []


def test_prefix_is_the_token_ids_up_to_a_node() -> None:
    """What a simulation goes on from, its own step included."""
    tree = Tree()
    tree.add(ROOT, [(5, 6), (7,)], True, 0, Rule())
    assert tree.prefix(ROOT) == ()
    assert tree.prefix(2) == (5, 6, 7)


@given(st.sampled_from(RULES), st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=40))
def test_counts_are_sums_over_simulations(rule: Rule, drawn: list[tuple[int, bool]]) -> None:
    """Visits and wins of every node are those of the simulations that pass through it, whatever the rule."""
    tree = Tree()
    through: dict[int, list[bool]] = {ROOT: []}
    for iteration, (steps, won) in enumerate(drawn):
        start = tree.select(rule)
        assert not tree.nodes[start].terminal
        before = len(tree.nodes)
        leaf = tree.add(start, [(1,)] * steps, won, iteration, rule)
        assert len(tree.nodes) - before == (steps if rule.reserve else 1)
        for node in tree.path(leaf):
            through.setdefault(node, []).append(won)
    assert {place: (node.visits, node.wins) for place, node in enumerate(tree.nodes)} == {
        place: (len(outcomes), sum(outcomes)) for place, outcomes in through.items()
    }
    for place, node in enumerate(tree.nodes):
        assert all(tree.nodes[child].parent == place for child in node.children)
