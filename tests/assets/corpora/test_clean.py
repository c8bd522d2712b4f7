"""Rules of cleaning: what they drop, that they add up, and which occurrence survives."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.corpora.clean import DROPPED_SCHEMA, Cleaner, clean, normalised_digest
from assets.corpora.schema import DOCUMENT_SCHEMA, document, documents_frame


def frame(texts: list[str], start: int = 0) -> pl.DataFrame:
    return documents_frame(document("prose", "p", "m", str(start + i), text) for i, text in enumerate(texts))


def reason_of(text: str, min_bytes: int = 0, max_control_share: float = 0.1) -> str | None:
    rules = {"min_bytes": min_bytes, "max_control_share": max_control_share}
    dropped = clean(frame([text]), seen=set(), **rules).dropped  # type: ignore[arg-type]
    return dropped["reason"][0] if dropped.height else None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("plain text, quite long enough", None),
        ("naïve – 第三 \U0001f469\u200d\U0001f4bb \u202bعربي\u202c", None),
        ("tabs\tand\r\nlines\f", None),
        ("one NUL in a very long text" + "." * 1000 + "\0", "not_text"),
        ("\x01\x02 is more than a tenth", None),
        ("\x01\x02\x03 abc", "not_text"),
        ("caf\ufffd", "not_text"),
        ("\ue000\ue001 private", "not_text"),
    ],
)
def test_not_text(text: str, reason: str | None) -> None:
    """Binary and wrongly decoded rows go; scripts, emoji and direction marks are text."""
    assert reason_of(text) == reason


def test_share_at_the_threshold_is_kept() -> None:
    """The rule says more than the share; at the share itself a text stays."""
    assert reason_of("\x01" + "a" * 9, max_control_share=0.1) is None
    assert reason_of("\x01" + "a" * 8, max_control_share=0.1) == "not_text"


def test_too_short_counts_bytes() -> None:
    """The unit of the threshold is bytes of UTF-8, as everywhere in the corpora."""
    assert reason_of("äöü", min_bytes=6) is None
    assert reason_of("äöü", min_bytes=7) == "too_short"


def test_first_rule_that_applies_is_the_reason() -> None:
    """Each row is counted once, so that the ledger adds up."""
    assert reason_of("\0", min_bytes=100) == "not_text"


def test_missing_text_is_not_text() -> None:
    """A null compares to nothing, so that no rule would catch it unless one says so."""
    batch = frame(["x"]).with_columns(text=pl.lit(None, pl.String), n_bytes=pl.lit(None, pl.Int64))
    cleaned = clean(batch, min_bytes=0, max_control_share=1, seen=set())
    assert cleaned.dropped["reason"].to_list() == ["not_text"]


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("cafe\u0301", "caf\u00e9", True),
        ("a\r\nb\n", "  a  \n\tb", True),
        ("a\nb", "a b", False),
        ("a\n\nb", "a\nb", False),
        ("Text", "text", False),
    ],
)
def test_normalised_digest(left: str, right: str, equal: bool) -> None:
    """Equal up to composition and white space around lines; words, case and line breaks tell texts apart."""
    assert (normalised_digest(left) == normalised_digest(right)) is equal


def test_first_occurrence_survives_across_batches() -> None:
    """Which copy is kept must not depend on how the corpus was cut into batches."""
    texts = ["a", "b", "a ", "c", "b", "d"]
    whole = Cleaner(min_bytes=0, max_control_share=1).clean(frame(texts))[0]
    parts = Cleaner(min_bytes=0, max_control_share=1)
    kept = pl.concat([parts.clean(frame(texts[i : i + 2], i))[0] for i in range(0, 6, 2)])
    assert kept.equals(whole)
    assert kept["name"].to_list() == ["0", "1", "3", "5"]


def test_dropped_row_does_not_stand_for_its_text() -> None:
    """A text dropped by an earlier rule must not make a later one a duplicate of nothing."""
    padded = frame(["abc", "abc" + " " * 10])
    kept, dropped = clean(padded, min_bytes=5, max_control_share=1, seen=set())
    assert kept["name"].to_list() == ["1"]
    assert dropped["reason"].to_list() == ["too_short"]


def test_sample_is_a_share_and_nested() -> None:
    """A smaller sample must be part of a larger one, so that results of both can be compared."""
    batch = frame([f"text {i}" for i in range(4000)])
    kept = {}
    for share in (0.2, 0.5, 1.0):
        cleaner = Cleaner(min_bytes=0, max_control_share=1, sample_share=share)
        rows, reasons = cleaner.clean(batch)
        kept[share] = set(rows["id"])
        assert reasons.total() == reasons["not_sampled"] == 4000 - rows.height
        # Five standard deviations of a binomial count.
        assert abs(rows.height - 4000 * share) <= 5 * (4000 * share * (1 - share)) ** 0.5
    assert kept[0.2] < kept[0.5] < kept[1.0]


def test_empty_batch() -> None:
    """A dataset without rows is cleaned like any other."""
    kept, dropped = clean(frame([]), min_bytes=1, max_control_share=0.1, seen=set())
    assert kept.schema == DOCUMENT_SCHEMA
    assert dropped.schema == DROPPED_SCHEMA


CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.one_of(st.text(CHARACTERS, max_size=8), st.sampled_from(["same", "same ", "\0"]))


@given(
    batches=st.lists(st.lists(st.one_of(TEXT, st.sampled_from(["same", "same ", "\0"])), max_size=8), max_size=4),
    min_bytes=st.integers(0, 6),
    max_control_share=st.floats(0, 1),
    sample_share=st.floats(0, 1),
)
def test_rows_in_are_rows_kept_and_dropped(
    batches: list[list[str]], min_bytes: int, max_control_share: float, sample_share: float
) -> None:
    """The ledger's law: every row is kept as it was or dropped with one reason, in order, no text twice."""
    seen: set[bytes] = set()
    texts: list[str] = []
    for number, batch_texts in enumerate(batches):
        batch = frame(batch_texts, 100 * number)
        kept, dropped = clean(
            batch,
            min_bytes=min_bytes,
            max_control_share=max_control_share,
            sample_share=sample_share,
            seen=seen,
        )
        assert kept.schema == DOCUMENT_SCHEMA
        assert dropped.schema == DROPPED_SCHEMA
        assert kept.equals(batch.filter(~pl.col("id").is_in(dropped["id"].to_list())))
        assert kept.height + dropped.height == batch.height
        assert set(dropped["reason"]) <= {"not_text", "too_short", "exact_duplicate", "not_sampled"}
        texts += kept["text"].to_list()
    assert len({normalised_digest(text) for text in texts}) == len(texts)
    assert all(len(text.encode()) >= min_bytes and "\0" not in text for text in texts)
