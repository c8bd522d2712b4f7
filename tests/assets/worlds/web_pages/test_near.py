"""Near duplicates of planned similarity."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.worlds.web_pages.lexicon import SEEN, UNSEEN
from assets.worlds.web_pages.near import TOLERANCE, exact_jaccard, near_duplicate, shingles
from assets.worlds.web_pages.prose import clean_page


def test_similarity_of_texts_counted_by_hand() -> None:
    """Shared 5-grams over all 5-grams, whatever the case and the punctuation; a short text is one gram."""
    assert shingles("One two, three FOUR five six.") == {
        ("one", "two", "three", "four", "five"), ("two", "three", "four", "five", "six")
    }  # fmt: skip
    assert exact_jaccard("a b c d e f g", "a b c d e f h") == 2 / 4
    assert exact_jaccard("a b", "A, b!") == 1.0
    assert exact_jaccard("a b", "a c") == 0.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), planned=st.floats(0.4, 0.95), unseen=st.booleans())
def test_any_similarity_is_met(seed: int, planned: float, unseen: bool) -> None:
    """What is returned as exact is exact, and lies within the tolerance of the plan; lines stay lines."""
    random = Random(seed)
    page = clean_page(UNSEEN if unseen else SEEN, random)
    changed, exact = near_duplicate(page.paragraphs, planned, random)
    assert exact == exact_jaccard(page.text, "\n".join(changed))
    assert abs(exact - planned) <= TOLERANCE
    assert [len(line.split()) for line in changed] == [len(line.split()) for line in page.paragraphs]


def test_a_text_that_is_too_short_is_refused() -> None:
    """Nine words have five 5-grams: a similarity of .8 cannot be met within .01."""
    with pytest.raises(ValueError, match="longer text"):
        near_duplicate(("one two three four five six seven eight nine ten eleven twelve.",), 0.8, Random(0))
