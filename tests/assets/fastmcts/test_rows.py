"""Rows lead back to the trees they were made of, and to what is trained."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from assets.fastmcts.baselines import vanilla
from assets.fastmcts.checkpoints import pair_examples, sft_examples
from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.measure import unequal_budgets
from assets.fastmcts.rows import nodes_add_up, nodes_frame, simulations_frame, trees_of
from assets.fastmcts.search import Search, Settings
from assets.fastmcts.training_rows import cut_to
from assets.fastmcts.tree import Rule
from assets.worlds.chain_arith.tokenizer import save_tokenizer
from tests.assets.fastmcts.scripted import ScriptedCodec, ScriptedEngine, grade, problems


def searched(rule: Rule) -> tuple[Search, pl.DataFrame]:
    search = Search(problems(12), Settings(rule, 30), ScriptedCodec(), grade)
    made = list(search.run(ScriptedEngine(4)))
    return search, simulations_frame(made, sampler="s", seed=0, policy="p", rule=rule)


def test_trees_grow_again_from_their_rows() -> None:
    """The rows hold all that a tree is: what was grown again has the same nodes, visits and wins."""
    for rule in (Rule(), vanilla(Rule())):
        search, rows = searched(rule)
        again = dict(trees_of(rows.sample(fraction=1, shuffle=True, seed=0), rule))
        assert {name: tree.nodes for name, tree in again.items()} == {
            name: growing.tree.nodes for name, growing in search._trees.items()
        }


def test_a_wrong_count_is_found() -> None:
    """The blocking check counts from the simulations' leaves: one visit too many, or a lost win, fails it."""
    _, rows = searched(Rule())
    nodes = nodes_frame(dict(trees_of(rows)), ScriptedCodec(), {})
    assert nodes_add_up(nodes, rows)
    for column in ("visit", "win"):
        spoiled = nodes.with_columns((pl.col(column) + (pl.int_range(pl.len()) == 5)).alias(column))
        assert not nodes_add_up(spoiled, rows)


def test_discarded_rollouts_are_not_kept() -> None:
    """Of a right answer whose rollout was discarded no path is left, unless its last step alone was simulated."""
    _, rows = searched(vanilla(Rule()))
    assert rows.filter(pl.col("kept"))["step_lengths"].list.len().to_list() == [1] * int(rows["kept"].sum())
    assert not rows["kept"].all()


def test_budget_check_sees_both_sides() -> None:
    """A problem that got one simulation too many is as unequal as one that got too few."""
    _, rows = searched(Rule())
    budgets = {problem.id: problem.budget for problem in problems(12)}
    assert unequal_budgets(rows, budgets) == []
    assert unequal_budgets(rows, budgets | {"p3": 61 + int(rows["tokens_generated"].sum())}) == ["p3"]
    assert unequal_budgets(rows, budgets | {"p3": 1}) == ["p3"]


def test_cut_keeps_the_most_different_answers() -> None:
    """Rows beyond an equal share go, those of the highest ranks first; the others keep their parents."""
    rows = pl.DataFrame(
        [{"id": f"{name}{rank}", "parents": [name], "problem_id": name, "rank": rank, "arm": "a"}
         for name, count in (("p", 4), ("q", 1)) for rank in range(count)]
    )  # fmt: skip
    cut = cut_to(rows, 3, "b")
    assert cut["parents"].to_list() == [["p0"], ["p1"], ["q0"]]
    assert set(cut["arm"]) == {"b"}


def test_only_the_answer_is_trained(tmp_path: Path) -> None:
    """Token for token as sampled, the stop token included; of a pair neither prompt nor shared prefix."""
    save_tokenizer(tmp_path)
    codec = ChatCodec(tmp_path, "\n")
    prompt = codec.prompt("1+2=?", ())
    answers = sft_examples(pl.DataFrame({"id": ["r"], "question": ["1+2=?"], "token_ids": [[6, 7, 4]]}), codec)
    assert answers.tokens.tolist() == [*prompt, 6, 7, 4]
    assert answers.trained.tolist() == [False] * len(prompt) + [True] * 3
    pairs = pl.DataFrame(
        {"id": ["r"], "question": ["1+2=?"], "prefix_ids": [[6]], "chosen_ids": [[7, 4]], "rejected_ids": [[8]]}
    )
    found = pair_examples(pairs, codec)
    assert found.tokens.tolist() == [*prompt, 6, 7, 4, *prompt, 6, 8]
    untrained = [False] * (len(prompt) + 1)
    assert found.trained.tolist() == [*untrained, True, True, *untrained, True]
