"""The AUC and its parts against other truths, and the claim on planted scores."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from assets.internlm2.long.claims import auc, auc_parts, long_claims

SCORES = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=40)


@given(SCORES)
def test_auc_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    """Ties among the scores too."""
    true, spliced = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    labels = np.r_[np.ones(len(pairs)), np.zeros(len(pairs))]
    assert auc(true, spliced) == pytest.approx(roc_auc_score(labels, np.r_[true, spliced]))


def test_the_parts_vary_as_the_auc_of_resampled_items_does() -> None:
    """Their standard error against a bootstrap that computes the AUC anew; true and spliced scores are correlated."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=200)
    true, spliced = shared + rng.normal(0.5, 1, 200), shared + rng.normal(0, 1, 200)
    drawn = rng.integers(0, 200, (2000, 200))
    resampled = np.std([auc(true[items], spliced[items]) for items in drawn])
    assert auc_parts(true, spliced).std(ddof=1) / np.sqrt(200) == pytest.approx(resampled, rel=0.08)


def rows(seed: int, shift: float) -> pl.DataFrame:
    """Scores of 100 items: perplexity says nothing, its difference separates by `shift` standard deviations."""
    rng = np.random.default_rng(seed)
    items = [f"i{i:03d}" for i in range(100)]
    frames = [
        pl.DataFrame(
            {
                "item_id": items, "label": label, "parents": [[item, f"model{seed}"] for item in items],
                "ppl_wi": rng.normal(size=100), "ppl_wo": rng.normal(size=100),
                "ppl_delta": rng.normal(shift if label == "true" else 0.0, 1, 100),
            }
        )
        for label in ("true", "spliced")
    ]  # fmt: skip
    return pl.concat(frames).sample(fraction=1, shuffle=True, seed=seed)


def test_a_planted_difference_is_found_and_none_is_not_invented() -> None:
    """Reproduced with three seeds, inconclusive with two, and inconclusive where nothing was planted."""
    found = {claim.baseline: claim for claim in long_claims([rows(seed, 1.5) for seed in range(3)])}
    assert len(found) == 2
    assert {claim.verdict for claim in found.values()} == {"reproduced"}
    whole = found["absolute perplexity with the whole context"]
    assert (whole.n_seeds, whole.n_items) == (3, 100)
    assert whole.parents == ("model0", "model1", "model2")
    assert {claim.verdict for claim in long_claims([rows(seed, 1.5) for seed in range(2)])} == {"inconclusive"}
    assert {claim.verdict for claim in long_claims([rows(seed, 0.0) for seed in range(3)])} == {"inconclusive"}


def test_the_other_sign_is_not_reproduced() -> None:
    """A difference that points the wrong way is a finding."""
    assert {claim.verdict for claim in long_claims([rows(seed, -1.5) for seed in range(3)])} == {"not_reproduced"}


def test_without_rows_there_is_no_claim() -> None:
    """Nothing was materialized yet."""
    assert list(long_claims([])) == []
