"""Bytes of a page to text, whatever its server and its head say of the encoding."""

from __future__ import annotations

import codecs
import re
from typing import Final

BOMS: Final = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DECLARED: Final = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,512}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE
)
# Where a declaration may stand (HTML standard: the first 1,024 bytes; pages are laxer).
HEAD_BYTES: Final = 4_096
SAMPLE_BYTES: Final = 8_192
# Names stand for the wider encoding that browsers read in their place (WHATWG encoding standard).
WIDER: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}


def decode(content: bytes, charset: str = "") -> str:
    """The text of a page.

    In this order: a byte order mark; UTF-8 where that fits, since other encodings hardly ever look like it; the
    declared encoding (`charset` of the server, then the page's own head) where it fits; the encoding that
    charset-normalizer finds; Windows-1252.
    """
    for mark, encoding in BOMS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    text = content.decode("utf-8", "replace")
    damaged = text.count("\N{REPLACEMENT CHARACTER}")
    # More sound characters of several bytes than broken ones: UTF-8 that was damaged or cut.
    if not damaged or sum(not character.isascii() for character in text) > 2 * damaged:
        return text
    declared = DECLARED.search(content[:HEAD_BYTES])
    for name in (charset, declared[1].decode("ascii", "replace") if declared else ""):
        decoded = _fitting(content, name)
        if decoded is not None:
            return decoded
    return content.decode(_detected(content[:SAMPLE_BYTES]), "replace")


def _fitting(content: bytes, name: str) -> str | None:
    """The text in an encoding of that name; None where there is none or it does not fit."""
    try:
        encoding = codecs.lookup(name).name
        return content.decode(WIDER.get(encoding, encoding))
    except (LookupError, UnicodeError, ValueError):
        return None


def _detected(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best is not None and best.encoding != "ascii" else "cp1252"
