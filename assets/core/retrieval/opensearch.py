"""BM25 in an OpenSearch or Elasticsearch cluster, behind the same `search`.

Texts are split into words here and joined by spaces, and the cluster splits at spaces: its terms are ours. Its scores
are not: Lucene keeps the length of a document in one byte, and OpenSearch from version 3 on leaves out the factor
(k1 + 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from assets.core.errors import AthanorError
from assets.core.retrieval.index import HIT_SCHEMA
from assets.core.retrieval.plan import Bm25Plan
from assets.core.retrieval.tokens import tokenize

if TYPE_CHECKING:
    import httpx

DOCUMENTS_AT_ONCE, QUERIES_AT_ONCE = 1_000, 50
ATTEMPTS, LONGEST_WAIT_SECONDS = 6, 30
SECONDS = 120
# The cluster's limit for one page of hits, index.max_result_window.
MOST_HITS = 10_000
BUSY = {429, 502, 503, 504}


class Busy(Exception):
    """The cluster does not answer or takes no more work for now."""


class OpenSearchIndex:
    """An index of a cluster; `credentials` are user and password."""

    def __init__(self, url: str, index: str, plan: Bm25Plan, credentials: tuple[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self.index = index
        self.plan = plan
        self.credentials = credentials

    def build(self, frames: Iterable[pl.DataFrame]) -> int:
        """Index documents (`id`, `text`) in place of what the index holds, batch by batch; the number of documents."""
        documents = 0
        with self._client() as client:
            self._ask(client, "DELETE", f"/{self.index}?ignore_unavailable=true")
            self._ask(client, "PUT", f"/{self.index}", orjson.dumps(index_settings(self.plan)))
            for frame in frames:
                for rows in frame.iter_slices(DOCUMENTS_AT_ONCE):
                    self._bulk(client, rows)
                    documents += rows.height
            self._ask(client, "POST", f"/{self.index}/_refresh")
        return documents

    def search(self, queries: Sequence[str], k: int) -> pl.DataFrame:
        """As `Index.search`. Raises ValueError for more than 10,000 hits of a query, a cluster's limit."""
        if not 1 <= k <= MOST_HITS:
            raise ValueError(f"k = {k}: search for 1 to {MOST_HITS:,} documents")
        asked = pl.DataFrame({"words": self._words(pl.Series("words", queries, pl.String))}).with_row_index("query")
        found = [pl.DataFrame(schema=HIT_SCHEMA)]
        with self._client() as client:
            for part in asked.filter(pl.col("words") != "").iter_slices(QUERIES_AT_ONCE):
                lines = [line for words in part["words"] for line in search_lines(self.index, words, k)]
                answer = self._ask(client, "POST", "/_msearch", b"\n".join(lines) + b"\n")
                found.extend(map(_hits, part["query"], answer["responses"]))
        return pl.concat(found)

    def _words(self, texts: pl.Series) -> pl.Series:
        return tokenize(texts, stop_words=self.plan.stop_words).list.join(" ")

    def _bulk(self, client: httpx.Client, rows: pl.DataFrame) -> None:
        """Index some documents. An id is a document's place in the cluster, so sending one twice does no harm."""
        lines = [
            orjson.dumps(line)
            for id_, words in zip(rows["id"], self._words(rows["text"]), strict=True)
            for line in ({"index": {"_id": id_}}, {"id": id_, "text": words})
        ]
        self._ask(client, "POST", f"/{self.index}/_bulk", b"\n".join(lines) + b"\n")

    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(
            base_url=self.url,
            auth=self.credentials,
            timeout=SECONDS,
            headers={"Content-Type": "application/x-ndjson", "Accept": "application/json"},
        )

    def _ask(self, client: httpx.Client, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        """The answer, asked for again while the cluster is busy. Raises AthanorError when it stays so or refuses."""
        tries = Retrying(
            retry=retry_if_exception_type(Busy),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(max=LONGEST_WAIT_SECONDS),
            reraise=True,
        )
        try:
            return tries(_answer, client, method, path, body)
        except Busy as error:
            raise AthanorError(
                f"{self.url} did not take {method} {path} in {ATTEMPTS} tries: {error}",
                "check that the cluster runs and that `url` is its address",
            ) from error


def index_settings(plan: Bm25Plan) -> dict[str, Any]:
    """How the cluster keeps documents: terms split at spaces, BM25 with the plan's parameters, no copy of the text."""
    return {
        "settings": {
            "index": {"similarity": {"default": {"type": "BM25", "k1": plan.k1, "b": plan.b}}},
            "analysis": {"analyzer": {"words": {"type": "custom", "tokenizer": "whitespace"}}},
        },
        "mappings": {
            "dynamic": "strict",
            "_source": {"enabled": False},
            "properties": {"id": {"type": "keyword"}, "text": {"type": "text", "analyzer": "words"}},
        },
    }


def search_lines(index: str, words: str, k: int) -> tuple[bytes, bytes]:
    """The two lines of one search: idf and average length of all shards together, equal scores ordered by id."""
    search = {
        "query": {"match": {"text": words}},
        "size": k,
        "sort": [{"_score": "desc"}, {"id": "asc"}],
        "track_scores": True,
        "track_total_hits": False,
        "_source": False,
    }
    return orjson.dumps({"index": index, "search_type": "dfs_query_then_fetch"}), orjson.dumps(search)


def _answer(client: httpx.Client, method: str, path: str, body: bytes) -> dict[str, Any]:
    import httpx

    try:
        response = client.request(method, path, content=body)
    except httpx.TransportError as error:
        raise Busy(f"{type(error).__name__}: {error}") from error
    if response.status_code in BUSY:
        raise Busy(f"status {response.status_code}")
    if response.is_error:
        raise AthanorError(
            f"{client.base_url} refused {method} {path} with status {response.status_code}: {response.text[:500]}",
            "401 and 403: give user and password; 404: materialize the index again; else see the cluster's log",
        )
    answer = orjson.loads(response.content)
    for part in _parts(answer):
        if part.get("status", 200) in BUSY:
            raise Busy(f"status {part['status']} of a part of {path}")
        if "error" in part:
            raise AthanorError(f"{path}: {part['error']}", "see the cluster's log; 404: materialize the index again")
    return answer


def _parts(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answers to each document of a bulk request and to each search: they fail one by one."""
    yield from answer.get("responses", ())
    for item in answer.get("items", ()):
        yield from item.values()


def _hits(query: int, response: dict[str, Any]) -> pl.DataFrame:
    hits = response["hits"]["hits"]
    return pl.DataFrame(
        {
            "query": [query] * len(hits),
            "rank": list(range(len(hits))),
            "id": [hit["_id"] for hit in hits],
            "score": [hit["_score"] for hit in hits],
        },
        schema=HIT_SCHEMA,
    )
