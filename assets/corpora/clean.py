"""What is kept of a corpus: rules in order, each dropped row with the first reason that applies.

Rows in = rows kept + rows dropped. The rules and their order are our default: `not_text`,
`too_short`, `exact_duplicate`, `not_sampled`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

DROPPED_SCHEMA = pl.Schema({"id": pl.String(), "reason": pl.String()})
# Control characters but for those of layout, code points without a meaning of their own, and the replacement
# character that a wrong decoding leaves behind. Format characters (joiners, direction marks) are text.
CONTROL = r"[\p{Cc}\p{Cn}\p{Co}\x{FFFD}--[\t\n\r\f\v]]"


class Cleaned(NamedTuple):
    """A batch after the rules: `kept` has the columns of the input, `dropped` has `id` and `reason`."""

    kept: pl.DataFrame
    dropped: pl.DataFrame


@dataclass
class Cleaner:
    """The rules over a corpus read in batches: remembers its texts, so that the first occurrence survives.

    Memory: a 16-byte digest (about 100 bytes as a Python object) for each distinct text.
    """

    min_bytes: int
    max_control_share: float
    sample_share: float = 1.0
    seen: set[bytes] = field(default_factory=set)

    def clean(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
        """The rows kept, and how many were dropped for each reason."""
        kept, dropped = clean(
            frame,
            min_bytes=self.min_bytes,
            max_control_share=self.max_control_share,
            sample_share=self.sample_share,
            seen=self.seen,
        )
        return kept, Counter(dropped["reason"].to_list())


def clean(
    frame: pl.DataFrame,
    *,
    min_bytes: int,
    max_control_share: float,
    seen: set[bytes],
    sample_share: float = 1.0,
) -> Cleaned:
    """Applies the rules to a batch with columns `id`, `text`, `n_bytes`; adds the texts' digests to `seen`.

    not_text: no text, a NUL in it, or more than `max_control_share` of its characters control characters.
    too_short: fewer than `min_bytes` bytes of UTF-8.
    exact_duplicate: the text, normalised, came before.
    not_sampled: outside the share of ids kept; what a smaller share keeps, a larger one keeps too.
    """
    text = pl.col("text")
    control = text.str.count_matches(CONTROL) > max_control_share * text.str.len_chars()
    by_content = frame.select(
        pl.when(text.is_null() | text.str.contains("\0", literal=True) | control)
        .then(pl.lit("not_text"))
        .when(pl.col("n_bytes") < min_bytes)
        .then(pl.lit("too_short"))
        .alias("reason")
    )["reason"]
    rows = zip(by_content, frame["id"], frame["text"], strict=True)
    reasons = pl.Series(
        "reason",
        [reason or _reason_by_corpus(row_id, text, sample_share, seen) for reason, row_id, text in rows],
        dtype=pl.String,
    )
    dropped = frame.select("id").with_columns(reasons).filter(reasons.is_not_null())
    return Cleaned(frame.filter(reasons.is_null()), dropped)


def _reason_by_corpus(row_id: str, text: str, sample_share: float, seen: set[bytes]) -> str | None:
    digest = normalised_digest(text)
    if digest in seen:
        return "exact_duplicate"
    seen.add(digest)
    return None if _uniform(row_id) < sample_share else "not_sampled"


def normalised_digest(text: str) -> bytes:
    """16 bytes, equal for texts that differ only in Unicode composition and white space around lines."""
    lines = (line.strip() for line in unicodedata.normalize("NFC", text).strip().splitlines())
    return hashlib.blake2b("\n".join(lines).encode("utf-8"), digest_size=16).digest()


def _uniform(row_id: str) -> float:
    """A number in [0, 1) from an id; salted, so that it tells nothing about another choice made by the id."""
    digest = hashlib.blake2b(row_id.encode("utf-8"), digest_size=6, salt=b"sample").digest()
    return int.from_bytes(digest, "big") / 2**48
