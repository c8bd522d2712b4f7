"""A stand-in for an OpenSearch cluster: the few REST calls that are used, scored by the written-out BM25."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.assets.core.retrieval.reference import bm25


class Cluster:
    """Its indexes; what it was asked, with the credentials; and statuses to answer with before it works again."""

    def __init__(self) -> None:
        self.settings: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, dict[str, str]] = {}
        self.calls: list[tuple[str, str, str | None]] = []
        self.troubles: list[int] = []
        self.item_troubles: list[int] = []
        self.url = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        lines = [json.loads(line) for line in body.splitlines()]
        match method, path.partition("?")[0].strip("/").split("/"):
            case "DELETE", [index]:
                self.documents.pop(index, None)
                return 200, {}
            case "PUT", [index]:
                if index in self.documents:
                    return 400, {"error": "resource_already_exists_exception"}
                self.settings[index], self.documents[index] = lines[0], {}
                return 200, {"acknowledged": True}
            case "POST", [index, "_bulk"]:
                status = self.item_troubles.pop() if self.item_troubles else 201
                item = {"status": status} | ({"error": {"type": "trouble"}} if status != 201 else {})
                for action, source in zip(lines[::2], lines[1::2], strict=True):
                    self.documents[index][action["index"]["_id"]] = source["text"]
                return 200, {"items": [{"index": item}]}
            case "POST", [_, "_refresh"]:
                return 200, {}
            case "POST", ["_msearch"]:
                pairs = zip(lines[::2], lines[1::2], strict=True)
                return 200, {"responses": [self.search(header["index"], search) for header, search in pairs]}
        return 404, {"error": f"no such call: {method} {path}"}

    def search(self, index: str, search: dict[str, Any]) -> dict[str, Any]:
        if index not in self.documents:
            return {"status": 404, "error": {"type": "index_not_found_exception"}}
        similarity = self.settings[index]["settings"]["index"]["similarity"]["default"]
        texts = self.documents[index]
        query = search["query"]["match"]["text"].split()
        scores = bm25(query, [text.split() for text in texts.values()], similarity["k1"], similarity["b"])
        hits = [{"_id": id_, "_score": score} for id_, score in zip(texts, scores, strict=True) if score]
        assert search["sort"] == [{"_score": "desc"}, {"id": "asc"}]
        hits.sort(key=lambda hit: (-hit["_score"], hit["_id"]))
        return {"status": 200, "hits": {"hits": hits[: search["size"]]}}


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster that listens on a free local port."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            cluster.calls.append((self.command, self.path, self.headers.get("Authorization")))
            trouble = cluster.troubles.pop() if cluster.troubles else 0
            status, answer = (trouble, {}) if trouble else cluster.answer(self.command, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = respond

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
