"""HTTP responses as a crawler stored them."""

from __future__ import annotations

from typing import Final, NamedTuple

from assets.corpora.crawl.schema import Skip

PAGE_TYPES: Final = frozenset({"text/html", "application/xhtml+xml", "text/plain"})


class Body(NamedTuple):
    """The content of a response, unpacked, and the charset that the server named, if any."""

    content: bytes
    is_text: bool
    charset: str


def is_page(content_type: str) -> bool:
    """Whether a media type is that of a page: HTML, plain text, or none told."""
    kind = content_type.split(";")[0].strip().lower()
    return not kind or kind in PAGE_TYPES


def unpack(message: bytes, max_bytes: int) -> Body | Skip:
    """The body of a response: transfer and content encoding undone, at most `max_bytes + 1` of it.

    Reasons of a skip: http_status (not 200), content_type (neither HTML nor text). Raises OSError for what is no HTTP
    response and for a body that is not encoded as its header says.
    """
    from fastwarc.warc import WarcRecord, WarcRecordType

    record = WarcRecord()
    record.init_headers(WarcRecordType.response)
    record.set_bytes_content(message)
    record.is_http = True
    record.parse_http(auto_decode="all")
    status = record.http_headers.status_code if record.http_headers is not None else None
    if status is None:
        raise OSError("no HTTP response")
    if status != 200:
        return Skip("http_status")
    kind = record.http_content_type or ""
    if not is_page(kind):
        return Skip("content_type")
    return Body(record.reader.read(max_bytes + 1), kind.startswith("text/plain"), record.http_charset or "")
