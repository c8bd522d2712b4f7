"""What two spellings of a text have in common, as polars expressions: words, a key of a short text, a key of a formula.

Case, white space, line breaks, punctuation, full-width letters, HTML and Markdown marks do not tell texts apart. Words
are runs of letters and digits, a Chinese or Japanese character each; "1,000" is "1000", "don't" is "dont" and
"well-known" or "well-⏎known" is "wellknown".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

_CJK: Final = r"\p{Han}\p{Hiragana}\p{Katakana}"
WORD: Final = rf"[{_CJK}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_CJK}]]+"
OPERATOR: Final = r"[-+*/^=<>%]"
# HTML elements that stand within a word; any other ends it.
_INLINE: Final = "b|i|u|s|em|strong|span|a|code|mark|font|small|sub|sup"
# In this order. GSM8K's marks for a calculator, <<48/2=24>>, go with the mark-up.
_SPELLINGS: Final = (
    ("ß", "ss"),
    ("ς", "σ"),
    (rf"<<[^<>]*>>|</?(?:{_INLINE})\b[^<>]*>", ""),
    (r"<!--.*?-->|</?[a-z][^<>]*>", " "),
    (r"&(?:apos|rsquo|lsquo|shy|#0*39|#x27);", ""),
    (r"&(?:[a-z]+|#x?[0-9a-f]+);", " "),
    (r"['’‘ʼ`\u{AD}\u{200B}-\u{200D}\u{FEFF}]", ""),
    (r"(\p{L})[-‐‑]\s*", "$1"),
    # Twice: matches do not overlap, and 1,000,000 has two.
    (r"(\d),(\d{3})\b", "$1$2"),
    (r"(\d),(\d{3})\b", "$1$2"),
)
_SIGNS: Final = ((r"\\(?:times|cdot)|[×⋅·∗]", "*"), (r"\\div|÷", "/"), (r"[−–]", "-"), (r"[$\\]", ""))
_NUMBER: Final = r"(?:\d+\.\d+|\d+|\.\d+)%?"
_TERM: Final = rf"\(*\s*{_NUMBER}\s*\)*"
_EXPRESSION: Final = rf"{_TERM}(?:\s*[-+*/^]\s*{_TERM})+(?:\s*=\s*{_NUMBER})?"
_NUMBERS: Final = ((r"\s", ""), (r"(^|[^\d])\.(\d)", "${1}0.$2"), (r"(\.\d*?)0+\b", "$1"), (r"\.(\D|$)", "$1"))


def _replaced(text: pl.Expr, pairs: tuple[tuple[str, str], ...]) -> pl.Expr:
    for pattern, value in pairs:
        text = text.str.replace_all(pattern, value)
    return text


def spelling(text: pl.Expr) -> pl.Expr:
    """The text without case, compatibility forms, mark-up and what stands within words."""
    return _replaced(text.str.normalize("NFKC").str.to_lowercase(), _SPELLINGS)


def words(text: pl.Expr) -> pl.Expr:
    """The list of words of a text as it came."""
    return spelling(text).str.extract_all(WORD)


def whole_key(text: pl.Expr) -> pl.Expr:
    """Words and operators of a short text in one string: `17+5*3=?` and `17 + 5 × 3 =` agree, `17-5*3=?` does not."""
    return _replaced(spelling(text), _SIGNS).str.extract_all(rf"{WORD}|{OPERATOR}").list.join(" ")


def formula_key(text: pl.Expr) -> pl.Expr:
    """The arithmetic of a text, expressions and their results in order: `48/2=24;48+24=72`; empty where there is none.

    A re-worded copy of a worked problem has the same key; so have unrelated problems with a small formula.
    """
    found = _replaced(spelling(text), _SIGNS).str.extract_all(_EXPRESSION)
    return _replaced(found.list.join(";"), _NUMBERS)
