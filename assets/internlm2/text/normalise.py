"""One form for equal text: Unicode composition, control characters, white space. All choices are our default."""

from __future__ import annotations

import polars as pl

LINE_ENDS = r"\r\n?|[\x0B\x0C\u{85}\u{2028}\u{2029}]"
# Controls but for tab and newline, and three marks that are never seen: byte order mark, soft hyphen, zero-width
# space. Joiners and direction marks stay: scripts need them.
UNSEEN = r"[\p{Cc}\u{FEFF}\u{AD}\u{200B}--[\t\n]]"
BLANKS = r"[\t\p{Zs}--[ ]]"


def normalised(text: pl.Expr) -> pl.Expr:
    """The text in its one form; normalising again changes nothing.

    Lines end in a newline, at most one empty line parts paragraphs, blanks are single spaces but for the indent of a
    line (code and lists need it), and characters are composed (NFC).
    """
    return (
        text.str.replace_all(LINE_ENDS, "\n")
        .str.replace_all(UNSEEN, "")
        .str.replace_all(BLANKS, " ")
        .str.replace_all(r"(\S) {2,}", "$1 ")
        .str.replace_all(r"(?m) +$", "")
        .str.replace_all(r"\n{3,}", "\n\n")
        .str.normalize("NFC")
        .str.strip_chars()
    )


def normalise(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of pages with normalised text and its bytes; ids stay, because the page is the same."""
    return frame.with_columns(text=normalised(pl.col("text"))).with_columns(
        n_bytes=pl.col("text").str.len_bytes().cast(pl.Int64)
    )
