"""What two spellings of a text have in common, and what keeps texts apart."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from assets.core.decontamination.normalise import formula_key, whole_key, words


def of(expression: Callable[[pl.Expr], pl.Expr], text: str) -> object:
    return pl.DataFrame({"text": [text]}).select(found=expression(pl.col("text")))["found"].to_list()[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't STOP,\n\tplease!", "dont stop please"),
        ("don’t stop – please", "dont stop please"),
        ("well-known, well-\nknown", "wellknown wellknown"),
        ("1,000,000 and 2,50", "1000000 and 2 50"),
        ("<p>one<b>self</b></p><p>two</p><!-- three -->", "oneself two"),
        ("**bold** _soft_ [link](x.y)", "bold soft link x y"),
        ("a &amp; b&nbsp;c it&#39;s", "a b c its"),
        ("ﬁve ｗｏｒｄｓ", "five words"),
        ("STRASSE Straße ΟΔΟΣ οδος", "strasse strasse οδοσ οδοσ"),
        ("二十个词 and more", "二 十 个 词 and more"),
        ("48/2 = <<48/2=24>>24", "48 2 24"),
        ("a < b and c > d", "a b and c d"),
        ("e\u0301tude étude", "étude étude"),
        ("", ""),
    ],
)
def test_words(text: str, found: str) -> None:
    """Case, punctuation, mark-up, line breaks and compatibility forms do not count."""
    assert of(words, text) == found.split()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("17+5*3=?", "17 + 5 × 3 =", True),
        ("17+5*3=?", "$17+5\\times3=$", True),
        ("17+5*3=?", "17-5*3=?", False),
        ("What is it?", "what is  it", True),
        ("What is it?", "What was it?", False),
        ("8÷2", "8/2", True),
    ],
)
def test_keys_of_short_texts(one: str, other: str, same: bool) -> None:
    """Arithmetic signs count, other punctuation does not."""
    assert (of(whole_key, one) == of(whole_key, other)) is same


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("She sold 48/2 = <<48/2=24>>24 clips, so 48+24 = 72.", "48/2=24;48+24=72"),
        ("He sold 48 / 2 = 24 pens; in all 48.0 + 24 = $72", "48/2=24;48+24=72"),
        ("$2.50 * 4 = $10.00", "2.5*4=10"),
        (".5*10=5 and 10*20=200", "0.5*10=5;10*20=200"),
        ("(3 + 4) × 2 = 14", "(3+4)*2=14"),
        ("3 \\times 4 - 1,000", "3*4-1000"),
        ("20% * 50", "20%*50"),
        ("no sums, only 3 and 4", ""),
    ],
)
def test_formula_keys(text: str, key: str) -> None:
    """Expressions and results in order, whatever the spelling of numbers and signs and the words around them."""
    assert of(formula_key, text) == key
