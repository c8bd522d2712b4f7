"""Badly joined documents: the same halves, of other packages, of the same length."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets.internlm2.long.splice import heldout_documents, partners, same_halves, spliced
from assets.internlm2.long.train import is_heldout, scorer_examples


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=30))
def test_partners_are_a_permutation_across_packages(packages: list[str]) -> None:
    """Each document gives its half once; never within a package where none has more than half of the documents."""
    found = partners(pl.Series(packages))
    assert sorted(found.tolist()) == list(range(len(packages)))
    if 2 * max(map(packages.count, packages)) <= len(packages):
        assert all(packages[i] != packages[j] for i, j in enumerate(found.tolist()))


def test_halves_are_joined_and_none_is_lost() -> None:
    """Own first half, the partner's second half; the check finds a half that is used twice."""
    chunks = np.arange(12).reshape(3, 4)
    joined = spliced(chunks, np.array([1, 2, 0]))
    assert joined.tolist() == [[0, 1, 6, 7], [4, 5, 10, 11], [8, 9, 2, 3]]
    assert same_halves(chunks, joined)
    assert not same_halves(chunks, spliced(chunks, np.array([1, 1, 0])))


def test_items_are_what_the_scorer_has_not_read() -> None:
    """Only documents of held-out packages with a chunk of tokens; fewer are the first of them."""
    packages = [f"p{i}" for i in range(40)]
    rows = pl.DataFrame(
        {
            "id": [f"d{i}" for i in range(40)],
            "package": packages,
            "tokens": [[5] * (10 if i % 2 else 3) for i in range(40)],
        }
    )
    items = heldout_documents(rows, share=0.5, chunk=8, max_items=100)
    assert 0 < items.height < 20
    assert all(is_heldout(package, 0.5) for package in items["package"])
    assert set(items["tokens"].list.len()) == {8}
    assert heldout_documents(rows, share=0.5, chunk=8, max_items=3)["id"].to_list() == items["id"].to_list()[:3]


def test_rows_of_training_begin_as_chunks_do() -> None:
    """Each piece stands behind `<s>`, nothing is lost, and the seed gives the order."""
    tokens = pl.DataFrame({"id": ["a", "b"], "tokens": [[10, 11, 12, 13, 14], [20]]})
    examples = scorer_examples(tokens, bos=1, eos=2, sequence_length=4, n_tokens=100, seed=0)
    pieces = [examples.tokens[a:b].tolist() for a, b in zip(examples.offsets, examples.offsets[1:], strict=False)]
    assert sorted(pieces) == [[1, 10, 11, 12], [1, 13, 14, 2], [1, 20, 2]]
    orders = {
        tuple(scorer_examples(tokens, bos=1, eos=2, sequence_length=4, n_tokens=100, seed=seed).ids)
        for seed in range(8)
    }
    assert len(orders) == 2
