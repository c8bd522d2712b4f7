"""Signatures estimate the similarity without bias, as precisely as independent hash functions, on any threads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.core.dedup import MinHashPlan, estimate_jaccard, signature_frame
from assets.core.dedup import signatures as module
from assets.core.errors import InputError
from tests.assets.core.dedup.texts import OWN_AND_SHARED, pair, words

FIXTURE = Path(__file__).parents[5] / "shared/data/oracles/datatrove_minhash_fixture.json"
PAIRS = 500


def signed(texts: list[str], plan: MinHashPlan = MinHashPlan(), threads: int | None = None) -> np.ndarray:  # noqa: B008
    return signature_frame(pl.DataFrame({"id": texts, "text": texts}), plan, threads)["signature"].to_numpy()


@pytest.mark.skipif(not FIXTURE.exists(), reason="shared/data is not on this machine")
def test_a_peers_rule_of_agreement() -> None:
    """Protects signatures of real sentences: of a text of which a share is kept, that share agrees, within .21."""
    text = json.loads(FIXTURE.read_text())["text"]
    kept = [len(text) * percent // 100 for percent in range(0, 100, 5)]
    changed = signed([text[:end] + text[end:][::-1] for end in kept])
    agreeing = estimate_jaccard(changed, signed([text]))
    assert agreeing == pytest.approx(np.arange(0, 1, 0.05), abs=0.21)


@pytest.mark.parametrize("similarity", OWN_AND_SHARED)
def test_the_estimate_is_that_of_independent_functions(similarity: float) -> None:
    """Protects the hash family: a bias or a correlation between functions would bend the S-curve."""
    rng = np.random.default_rng(1)
    pairs = [pair(rng, similarity) for _ in range(PAIRS)]
    estimates = estimate_jaccard(signed([left for left, _ in pairs]), signed([right for _, right in pairs]))
    variance = similarity * (1 - similarity) / 128
    assert abs(estimates.mean() - similarity) < 4 * np.sqrt(variance / PAIRS)
    assert abs(estimates.var() / variance - 1) < 4 * np.sqrt(2 / PAIRS)


def test_unrelated_documents_agree_nowhere() -> None:
    """Protects against minima that collide although no shingle is shared."""
    rng = np.random.default_rng(2)
    signatures = signed([" ".join(words(rng, 200)) for _ in range(200)])
    agreeing = (signatures[:, None] == signatures[None]).sum() - 200 * 128
    assert agreeing <= 2


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c d e f g h", "ü", ""]), min_size=6, max_size=12).filter(any))
def test_only_the_set_of_shingles_counts(parts: list[str]) -> None:
    """Protects that repetition, case and punctuation leave the signature as it is, where there is a word at all."""
    text = " ".join(parts)
    once, twice = signed([text, f"  {text.upper()}!"])
    assert (once == twice).all()


def test_threads_and_slices_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the same signatures at any number of threads, for texts of very different lengths, without text too."""
    rng = np.random.default_rng(3)
    texts = ["", *(" ".join(words(rng, int(n_words))) for n_words in rng.integers(0, 300, size=200))]
    alone = signed(texts, threads=1)
    monkeypatch.setattr(module, "SLICE_DOCUMENTS", 7)
    assert (signed(texts, threads=3) == alone).all()
    assert (np.concatenate([signed([text]) for text in texts]) == alone).all()


def test_seed_chooses_the_functions() -> None:
    """Protects that signatures of two seeds have nothing in common."""
    texts = ["one two three four five six"]
    assert not (signed(texts) == signed(texts, MinHashPlan(seed=2))).any()


def test_signatures_stay_as_they_are() -> None:
    """Protects signatures in users' lakes: a new version of this project or a library must not change them silently."""
    found = signed(["one two three four five six", "x"])[:, :3].tolist()
    assert found == [[1148618259, 3335565551, 1506907822], [2143176420, 492122968, 3190108459]]


def test_columns_and_order() -> None:
    """Protects the contract of the frame, with a priority and without, and with no rows."""
    frame = pl.DataFrame({"text": ["x", "y"], "id": ["2", "1"], "priority": ["2023", None]})
    found = signature_frame(frame, MinHashPlan())
    signature = pl.Array(pl.UInt32, 128)
    assert found.schema == {
        "id": pl.String, "priority": pl.String, "n_shingles": pl.UInt32, "signature": signature,
    }  # fmt: skip
    assert found["id"].to_list() == ["2", "1"]
    assert signature_frame(frame.drop("priority").clear(), MinHashPlan()).schema["signature"] == signature


@pytest.mark.parametrize("wrong", [{"bands": 7}, {"ngram": 0}, {"threshold": 0.0}, {"threshold": 1.5}])
def test_impossible_plans_are_refused(wrong: dict[str, float]) -> None:
    """Protects from a plan whose bands would leave hash functions over, or whose threshold keeps all or nothing."""
    with pytest.raises(InputError, match="set "):
        MinHashPlan(**wrong)
