"""The tree's opinion of its steps beside the truth."""

from __future__ import annotations

from pathlib import Path

from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.labels import labelled_steps
from assets.fastmcts.tree import ROOT, Tree
from assets.fastmcts.tree import Rule as SearchRule
from assets.worlds.chain_arith.problems import Rule, parse_question
from assets.worlds.chain_arith.tokenizer import save_tokenizer


def test_rejected_and_wrong_are_told_apart(tmp_path: Path) -> None:
    """A wrong step below a right one is rejected and wrong; an unlucky right step is rejected though it is not,
    but repeats its right sibling; what
    comes below a hopeless step is not rejected again."""
    save_tokenizer(tmp_path)
    codec = ChatCodec(tmp_path, "\n")
    tree = Tree()
    vocabulary = {codec.text([token]): token for token in range(5, 24)}
    for iteration, (text, won) in enumerate(
        [("1+2=3\n3*2=6\n#### 6", True), ("1+2=4\n4*2=8\n#### 8", False), ("1+2=3\n3*2=7\n#### 7", False)]
    ):
        steps = codec.steps([vocabulary[character] for character in text])
        tree.add(ROOT, steps, won, iteration, SearchRule())
    found = {step.node: step for step in labelled_steps(tree, parse_question("1+2*2=?"), Rule(10), codec)}
    assert [(node, step.rejected, step.repeated, step.wrong) for node, step in found.items()] == [
        (1, False, False, False), (2, False, False, False), (3, False, False, False),
        (4, True, False, True), (5, False, False, False), (6, False, False, False),
        (7, True, True, False), (8, False, False, True), (9, False, False, False),
    ]  # fmt: skip
