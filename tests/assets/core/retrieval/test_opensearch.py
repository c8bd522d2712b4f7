"""Indexing and searching by REST calls against a stand-in; a real cluster was not used."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.core.errors import AthanorError, InputError
from assets.core.retrieval import Bm25Plan, opensearch
from assets.core.retrieval.opensearch import OpenSearchIndex
from assets.core.retrieval.resource import RetrievalResource
from tests.assets.core.retrieval.cluster import Cluster, running_cluster

PLAN = Bm25Plan(k1=0.9, b=0.4)
ROWS = pl.DataFrame(
    {"id": ["b", "a", "c", "d"], "text": ["The cat, sat!", "cat the sat", "dog dog cat 我喜", None]},
    schema={"id": pl.String, "text": pl.String},
)
QUERIES = ["Cat DOG", "", "zebra", "the 喜"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(opensearch, "LONGEST_WAIT_SECONDS", 0.01)
    with running_cluster() as running:
        yield running


def test_both_engines_find_the_same(cluster: Cluster, tmp_path: Path) -> None:
    """A cluster that scores exactly gives what the embedded engine gives: words, ties, empty and unknown queries."""
    found = []
    for resource in (RetrievalResource(), RetrievalResource(engine="opensearch", url=cluster.url)):
        folder = tmp_path / resource.engine
        resource.build(ROWS.iter_slices(3), folder, PLAN, "f00")
        found.append(resource.open(folder).search(QUERIES, 10))
    assert_frame_equal(*found, rel_tol=1e-5)
    assert found[0]["id"].to_list() == ["c", "a", "b", "c", "a", "b"]
    assert cluster.documents.keys() == {"athanor-f00"}


def test_the_cluster_splits_nothing_by_itself(cluster: Cluster) -> None:
    """Words come from here and the parameters from the plan; a field that nobody declared is refused."""
    OpenSearchIndex(cluster.url, "pile", PLAN).build([ROWS])
    made = cluster.settings["pile"]
    assert made["settings"]["index"]["similarity"]["default"] == {"type": "BM25", "k1": 0.9, "b": 0.4}
    assert made["settings"]["analysis"]["analyzer"]["words"]["tokenizer"] == "whitespace"
    assert made["mappings"]["dynamic"] == "strict"
    assert cluster.documents["pile"]["c"] == "dog dog cat 我 喜"


def test_building_again_replaces_what_was_there(cluster: Cluster) -> None:
    """A build that was killed half-way leaves no document behind."""
    index = OpenSearchIndex(cluster.url, "pile", PLAN)
    index.build([ROWS])
    assert index.build([ROWS[:1]]) == 1
    assert cluster.documents["pile"].keys() == {"b"}


def test_a_busy_cluster_is_asked_again(cluster: Cluster) -> None:
    """Of a request that is put off as a whole or in part, nothing is lost."""
    cluster.troubles, cluster.item_troubles = [429, 503], [429]
    index = OpenSearchIndex(cluster.url, "pile", PLAN)
    index.build([ROWS])
    assert len(cluster.documents["pile"]) == 4
    cluster.troubles = [502]
    assert index.search(["cat"], 1).height == 1


def test_a_cluster_that_stays_busy_or_is_not_there_is_reported(cluster: Cluster) -> None:
    """The error names the address and says what to check."""
    cluster.troubles = [503] * 100
    with pytest.raises(AthanorError, match="in 6 tries: status 503"):
        OpenSearchIndex(cluster.url, "pile", PLAN).build([ROWS])
    with pytest.raises(AthanorError, match="check that the cluster runs"):
        OpenSearchIndex("http://127.0.0.1:1", "pile", PLAN).search(["cat"], 1)


def test_refusals_are_not_repeated(cluster: Cluster) -> None:
    """An index that is not there, a document that is refused and a wrong password are errors at once."""
    index = OpenSearchIndex(cluster.url, "pile", PLAN)
    with pytest.raises(AthanorError, match="index_not_found"):
        index.search(["cat"], 1)
    cluster.item_troubles = [400]
    with pytest.raises(AthanorError, match="trouble"):
        index.build([ROWS])
    cluster.calls.clear()
    cluster.troubles = [401]
    with pytest.raises(AthanorError, match="give user and password"):
        index.search(["cat"], 1)
    assert len(cluster.calls) == 1


def test_credentials_come_from_the_environment(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password stands in the request and in no file."""
    monkeypatch.setenv("SEARCH_PASSWORD", "s3cret")
    resource = RetrievalResource(
        engine="opensearch", url=cluster.url, user="me", password=dg.EnvVar("SEARCH_PASSWORD")
    ).process_config_and_initialize()
    resource.build([ROWS], tmp_path, PLAN, "x")
    assert cluster.calls[0][2] == "Basic " + base64.b64encode(b"me:s3cret").decode()
    assert "s3cret" not in (tmp_path / "opensearch.json").read_text()


def test_the_engine_counts_and_its_address_does_not() -> None:
    """Scores differ between engines; a cluster that moved gives the same."""
    here, there = (
        RetrievalResource(engine="opensearch", url=url, index_prefix=url) for url in ("http://a", "http://b")
    )
    assert here.identity() == there.identity() != RetrievalResource().identity()


def test_an_index_of_the_other_engine_is_refused(tmp_path: Path) -> None:
    """The folder says which engine built it, and a cluster needs an address."""
    cluster = RetrievalResource(engine="opensearch", url="http://127.0.0.1:1")
    with pytest.raises(InputError, match="names no index of a cluster"):
        cluster.open(tmp_path)
    with pytest.raises(InputError, match="has no url"):
        RetrievalResource(engine="opensearch").build([ROWS], tmp_path, PLAN, "x")
    with pytest.raises(ValueError, match="1 to 10,000"):
        OpenSearchIndex("http://127.0.0.1:1", "pile", PLAN).search(["cat"], 10_001)
