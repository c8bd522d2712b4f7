"""What two documents have in common: the same for the reference, an outside list and the compiled kernels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.core.dedup import MinHashPlan, jaccard, signature_frame
from assets.core.dedup.shingles import shingles, tokenize
from tests.assets.core.dedup.texts import OWN_AND_SHARED, pair

ORACLES = Path(__file__).parents[5] / "shared/data/oracles"
WORDS, CODE = MinHashPlan(), MinHashPlan(tokens="code")
TEXTS = st.text(st.sampled_from("ab _.,;(=é中あ가हि\u0301 \t\n") | st.characters(codec="utf-8"), max_size=60)


def n_shingles(text: str, plan: MinHashPlan) -> int:
    return signature_frame(pl.DataFrame({"id": [""], "text": [text]}), plan)["n_shingles"][0]


@pytest.mark.skipif(not ORACLES.exists(), reason="shared/data is not on this machine")
def test_exact_similarity_of_public_texts() -> None:
    """Protects the definition of a shingle, against counts and similarities computed elsewhere."""
    fixture = json.loads((ORACLES / "datatrove_minhash_fixture.json").read_text())
    expected = json.loads((ORACLES / "minhash_expected.json").read_text())
    starts = [start for cluster in fixture["clusters_by_start_offset"] for start in cluster]
    texts = [fixture["text"][start : start + fixture["window"]] for start in starts]
    assert [n_shingles(text, WORDS) for text in texts] == expected["shingle_counts"]
    for left, row in zip(texts, expected["exact_jaccard"], strict=True):
        assert [jaccard(left, right, WORDS) for right in texts] == pytest.approx(row, abs=1e-6)


@settings(deadline=None)  # the first example loads the kernels
@given(TEXTS)
def test_kernels_find_the_reference_shingles(text: str) -> None:
    """Protects the compiled tokenizer on any text: all widths of UTF-8, marks, scripts without spaces, no word."""
    for plan in (WORDS, CODE, MinHashPlan(ngram=1), MinHashPlan(ngram=2, tokens="code")):
        assert n_shingles(text, plan) == len(shingles(text, plan))


def test_words() -> None:
    """Protects the normalisation: case and punctuation do not count, Chinese is compared by character."""
    assert tokenize("Don't  PANIC, e.g. at_42!", WORDS) == ["don", "t", "panic", "e", "g", "at_42"]
    assert tokenize("模型 model", WORDS) == ["模", "型", "model"]
    assert tokenize("हिन्दी", WORDS) == ["हिन्दी"]
    assert shingles("one two", WORDS) == {("one", "two")}
    assert shingles("!!", WORDS) == {("!!",)}


def test_code_layout_does_not_count() -> None:
    """Protects that only the layout of two files may differ for them to be the same, and that their case counts."""
    tab = "def f(x):\n\tif x == 1:\n\t\treturn [x, 2.5]\n"
    spaces = "def f( x ):  \n\n  if x==1:\n    return [x, 2.5]\n\n"
    assert tokenize(tab, CODE) == tokenize(spaces, CODE)
    assert tokenize("x+=2.5", CODE) == ["x", "+", "=", "2", ".", "5"]
    assert tokenize("Value", CODE) != tokenize("value", CODE)


@pytest.mark.parametrize("similarity", OWN_AND_SHARED)
def test_jaccard_by_construction(similarity: float) -> None:
    """Protects the texts that the statistical tests stand on."""
    assert jaccard(*pair(np.random.default_rng(0), similarity), WORDS) == pytest.approx(similarity)
