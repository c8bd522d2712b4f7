"""Where retrieval runs, as a Dagster resource."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import dagster as dg
from pydantic import Field

from assets.core.errors import InputError
from assets.core.retrieval.index import Index, build_index
from assets.core.retrieval.opensearch import OpenSearchIndex
from assets.core.retrieval.plan import Bm25Plan

if TYPE_CHECKING:
    import polars as pl

REFERENCE = "opensearch.json"


class Searcher(Protocol):
    """What an opened index does; see `Index.search`."""

    def search(self, queries: Sequence[str], k: int) -> pl.DataFrame: ...


class RetrievalResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Which engine indexes and searches. It counts in the fingerprint, since scores differ; where it runs does not."""

    engine: Literal["embedded", "opensearch"] = Field("embedded", description="In this process, or in a cluster.")
    url: str = Field("", description="Of the cluster: https://host:9200. Only for opensearch.")
    index_prefix: str = Field("athanor-", description="Of the names of the cluster's indexes. Only for opensearch.")
    user: str = Field("", description="Of the cluster; empty: no credentials are sent.")
    password: str = Field("", description="A secret: give it as dg.EnvVar.")

    def identity(self) -> dict[str, object]:
        return {"engine": self.engine}

    def build(self, frames: Iterable[pl.DataFrame], folder: Path, plan: Bm25Plan, name: str) -> None:
        """Index documents (`id`, `text`); `folder` gets the index, or the name of that in the cluster.

        `name` must tell apart what has other documents or another plan: the fingerprint of the asset that builds.
        """
        if self.engine == "embedded":
            build_index(frames, folder, plan)
            return
        documents = self._in_cluster(name, plan).build(frames)
        folder.mkdir(parents=True, exist_ok=True)
        reference = {"name": name, "plan": asdict(plan), "documents": documents}
        (folder / REFERENCE).write_text(json.dumps(reference, indent=1))

    def open(self, folder: Path) -> Searcher:
        """The index that `build` left in the folder. Raises InputError where it was built by the other engine."""
        if self.engine == "embedded":
            return Index.open(folder)
        if not (folder / REFERENCE).exists():
            raise InputError(f"{folder} names no index of a cluster", "materialize the asset that makes it again")
        reference = json.loads((folder / REFERENCE).read_text())
        return self._in_cluster(reference["name"], Bm25Plan(**reference["plan"]))

    def _in_cluster(self, name: str, plan: Bm25Plan) -> OpenSearchIndex:
        if not self.url:
            raise InputError(
                "retrieval by opensearch has no url", "give the resource `retrieval` the cluster's address"
            )
        credentials = (self.user, self.password) if self.user else None
        return OpenSearchIndex(self.url, f"{self.index_prefix}{name}", plan, credentials)
