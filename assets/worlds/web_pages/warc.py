"""WARC files of the generated pages. The same pages give the same bytes: no clock, no random record ids."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

HTTP = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"


def write_warc(path: Path, pages: Iterable[Mapping[str, Any]]) -> None:
    """One response record for each page (url, timestamp, id, html), in order, each a gzip member of its own."""
    with path.open("wb") as file:
        for page in pages:
            # Without a time in the header, which gzip would take from the clock.
            file.write(gzip.compress(_record(page), mtime=0))


def _record(page: Mapping[str, Any]) -> bytes:
    from fastwarc.warc import WarcRecord, WarcRecordType

    record = WarcRecord()
    record.init_headers(WarcRecordType.response, f"uuid:{UUID(hex=page['id'])}".encode())
    record.headers["WARC-Target-URI"] = page["url"]
    record.headers["WARC-Date"] = page["timestamp"]
    record.headers["Content-Type"] = "application/http; msgtype=response"
    record.set_bytes_content((HTTP + page["html"]).encode())
    written = io.BytesIO()
    record.write(written)
    return written.getvalue()
