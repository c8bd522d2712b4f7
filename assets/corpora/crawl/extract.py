"""A capture to a page: main text, language, id. Hostile input can hang or crash it: run it in a process that can be
killed (`pool`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from assets.core.ids import content_id
from assets.corpora.crawl.decode import decode
from assets.corpora.crawl.http import unpack
from assets.corpora.crawl.schema import Capture, Page, Skip
from assets.corpora.schema import Reject

UNKNOWN: Final = "un"
TITLE_CHARACTERS: Final = 500
# Share of control and undecodable characters above which content is no text (our default).
MAX_NOISE: Final = 0.01
HEAD_CHARACTERS: Final = 20_000
CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
NO_TEXT: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd-\uffff]")
# What CLD2 still calls by codes that ISO 639-1 has withdrawn.
RENAMED: Final = {"iw": "he", "jw": "jv", "in": "id", "ji": "yi", "mo": "ro", "zh-Hant": "zh"}


@dataclass(frozen=True, slots=True)
class Extraction:
    """How main text is found and which pages are kept; see `CrawlConfig`."""

    favour: Literal["balanced", "precision", "recall"] = "balanced"
    comments: bool = True
    tables: bool = True
    languages: frozenset[str] = frozenset()
    schemes: frozenset[str] = frozenset({"http", "https"})
    max_bytes: int = 10_000_000


def read_page(capture: Capture, settings: Extraction) -> Page | Skip | Reject:
    """The page of a capture.

    Reasons of a skip: scheme, http_status, content_type, no_text, language. Reasons of a reject: broken_http,
    record_too_large, empty, binary, extraction_error.
    """

    def reject(reason: str, detail: str) -> Reject:
        return Reject(capture.file, capture.record, reason, detail)

    if capture.url and _scheme(capture.url) not in settings.schemes:
        return Skip("scheme")
    content, is_text, charset = capture.content, capture.media == "text", ""
    if capture.media == "http":
        try:
            body = unpack(content, settings.max_bytes)
        except OSError as error:
            return reject("broken_http", str(error))
        if isinstance(body, Skip):
            return body
        content, is_text, charset = body
    if len(content) > settings.max_bytes:
        return reject("record_too_large", f"more than {settings.max_bytes:,} bytes")
    if not content.strip():
        return reject("empty", "no content")
    markup = decode(content, charset)
    head = markup[:HEAD_CHARACTERS]
    noise = len(NO_TEXT.findall(head))
    if noise > MAX_NOISE * len(head):
        return reject("binary", f"{noise:,} of the first {len(head):,} characters are no text")
    try:
        title, text = (capture.title, _plain(markup)) if is_text else main_text(markup, settings, capture.title)
        language = language_of(text)
    except Exception as error:
        return reject("extraction_error", f"{type(error).__name__}: {error}"[:300])
    if not text:
        return Skip("no_text")
    if settings.languages and language not in settings.languages:
        return Skip("language")
    return Page(
        id=content_id(capture.url, capture.timestamp, text),
        url=capture.url,
        domain=domain_of(capture.url),
        timestamp=capture.timestamp,
        dump=capture.dump,
        language=language,
        title=title,
        text=text,
        n_bytes=len(text.encode("utf-8")),
        file=capture.file,
        record=capture.record,
    )


def main_text(markup: str, settings: Extraction, title: str = "") -> tuple[str, str]:
    """Title and main text of a page by trafilatura; the text is empty where there is none. `title` goes before the
    page's own."""
    from trafilatura import extract, load_html
    from trafilatura.metadata import extract_title

    tree = load_html(markup)
    if tree is None:
        return title, ""
    found = title or extract_title(tree) or ""
    text = extract(
        tree,
        favor_precision=settings.favour == "precision",
        favor_recall=settings.favour == "recall",
        include_comments=settings.comments,
        include_tables=settings.tables,
    )
    return " ".join(_plain(found).split())[:TITLE_CHARACTERS], _plain(text or "")


def use_plain_elements() -> None:
    """Have trafilatura's parser make elements of one class. lxml.html chooses special ones for forms in Python, for
    each element, which takes a twentieth of a page's time; no text hangs on them."""
    from lxml import etree, html
    from trafilatura.utils import HTML_PARSER

    HTML_PARSER.set_element_class_lookup(
        etree.ElementDefaultClassLookup(
            element=html.HtmlElement,
            comment=html.HtmlComment,
            pi=html.HtmlProcessingInstruction,
            entity=html.HtmlEntity,
        )
    )


def language_of(text: str) -> str:
    """The ISO 639-1 code of the language that CLD2 finds, "un" where it is not sure of one."""
    import pycld2

    try:
        reliable, _, found = pycld2.detect(text, isPlainText=True)
    except pycld2.error:
        return UNKNOWN
    code = found[0][1]
    return RENAMED.get(code, code) if reliable else UNKNOWN


def domain_of(url: str) -> str:
    """The registered domain (public suffix list), else the host; "" where the URL has none."""
    from courlan import extract_domain

    try:
        return extract_domain(url) or urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _plain(text: str) -> str:
    """Without control characters and outer white space, lines ended by a newline alone."""
    return CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
