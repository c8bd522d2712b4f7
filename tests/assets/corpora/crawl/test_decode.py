"""Bytes of a page to text, whatever is said of their encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.corpora.crawl.decode import decode

RUSSIAN = "Река течёт среди холмов и лугов к старой гавани, где её встречает море и шумит ветер. " * 20
FRENCH = "La rivière naît dans les collines et traverse des prés fleuris jusqu'à la vieille ville côtière. "


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["", "utf-8", "latin-1", "shift_jis", "x"]))
def test_utf8_is_read_whatever_is_declared(text: str, charset: str) -> None:
    """UTF-8 proves itself: a server that calls it something else must not spoil it."""
    if not text.startswith(("\ufeff", "\ufffe")):
        assert decode(text.encode(), charset) == text


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (FRENCH.encode("cp1252"), "ISO-8859-1", FRENCH),
        ("It’s “odd”".encode("cp1252"), "iso-8859-1", "It’s “odd”"),
        (b"<meta charset='windows-1251'>" + RUSSIAN.encode("cp1251"), "", "<meta charset='windows-1251'>" + RUSSIAN),
        ("河流穿过草地".encode("gb18030"), "gb2312", "河流穿过草地"),
        ("港町の川".encode("cp932"), "Shift_JIS", "港町の川"),
        ("\ufeffriver".encode("utf-16-le"), "utf-8", "river"),
        ("\ufeffriver".encode(), "", "river"),
    ],
)
def test_declared_encodings(content: bytes, charset: str, text: str) -> None:
    """What server, head or byte order mark say, read as browsers do."""
    assert decode(content, charset) == text


@pytest.mark.parametrize("charset", ["", "utf-8", "shift_jis", "no-such-encoding", "rot13", "a b\0c"])
def test_undeclared_and_lying_encodings_are_found(charset: str) -> None:
    """Russian in its old encoding, declared wrongly or not at all, is still Russian."""
    assert decode(RUSSIAN.encode("cp1251"), charset) == RUSSIAN


def test_damaged_utf8_loses_its_damage_only() -> None:
    """A page that a crawler cut within a character, or with one bad byte, stays UTF-8."""
    assert decode(RUSSIAN.encode()[:-3]) == RUSSIAN[:-3] + "\ufffd"
    bad = RUSSIAN[:20].encode() + b"\xff" + RUSSIAN[20:].encode()
    assert decode(bad, "windows-1251") == RUSSIAN[:20] + "\ufffd" + RUSSIAN[20:]


@given(st.binary(), st.text(max_size=10))
def test_anything_is_decoded(content: bytes, charset: str) -> None:
    """No bytes and no name of an encoding raise, and what comes out can be stored."""
    decode(content, charset).encode()
