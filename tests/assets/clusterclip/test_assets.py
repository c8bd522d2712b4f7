"""The assets of ClusterClip over a small lake: clusters, split and plans hold what their checks promise."""

from __future__ import annotations

import itertools
import math

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.clusterclip.assets import arm, clusters, embeddings, sampling_plan
from assets.clusterclip.config import PLANS, ClusterConfig, EmbedConfig, PlanConfig
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.resources import LakeResource

WORDS = [["".join(p) for p in itertools.islice(itertools.product(f"{c}aeiou", repeat=4), 30)] for c in "bdfgkl"]


def publish(lake: Lake, key: str, frame: pl.DataFrame) -> Dataset:
    def fill(out: DatasetWriter) -> None:
        out.write(frame)

    return lake.build(
        key=key, partition="", kind="dataset", fingerprint=f"{key:0<64}", ingredients={}, fill=fill, keeps_ledger=False
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """300 documents of six topics, clustered, split and planned by the assets themselves."""
    home = tmp_path_factory.mktemp("home")
    lake = Lake(str(home / "lake"), home / "work")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[k], 40)) for k in rng.choice(6, 300, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05])]
    ids = [f"d{i:03d}" for i in range(300)]
    publish(lake, "corpora/clean_documents", pl.DataFrame({"id": ids, "text": texts}))
    sizes = rng.integers(20, 60, 300)
    publish(lake, "internlm2/tokens", pl.DataFrame({"id": ids, "n_tokens": sizes, "n_bytes": sizes * 3}))
    result = dg.materialize(
        [embeddings, clusters, sampling_plan],
        partition_key="3",
        resources={"lake": LakeResource(root=str(home / "lake"), work=str(home / "work"))},
        run_config=dg.RunConfig(
            ops={
                "clusterclip__embeddings": EmbedConfig(dim=16),
                "clusterclip__clusters": ClusterConfig(n_clusters=6, heldout_min=3, skew=1.0),
                "clusterclip__sampling_plan": PlanConfig(sequence_length=32, batch_rows=4, clip_threshold=3),
            }
        ),
    )
    assert result.success
    return lake


def test_arms() -> None:
    """A name with a number has its own R; random and uniform have none."""
    config = PlanConfig(clip_threshold=7)
    assert arm("clusterclip", config) == ("clusterclip", 7.0)
    assert arm("clusterclip_r10", config) == ("clusterclip", 10.0)
    assert arm("s2g", config) == ("s2g", 7.0)
    assert arm("uniform", config) == ("uniform", math.inf)


def test_embeddings_are_unit_vectors(lake: Lake) -> None:
    """One per document, in Parquet as a fixed-size array."""
    rows = lake.get("clusterclip/embeddings").read()
    assert rows.schema["embedding"] == pl.Array(pl.Float32, 16)
    assert np.linalg.norm(rows["embedding"].to_numpy(), axis=1) == pytest.approx(np.ones(300), abs=1e-5)


def test_plans_draw_only_training_documents(lake: Lake) -> None:
    """No held-out and no unused document is drawn, by any plan."""
    split = lake.get("clusterclip/clusters").read("id", "split")
    assert set(split["split"]) == {"train", "heldout", "unused"}
    drawn = lake.get("clusterclip/sampling_plan", "3").read("document_id")
    known = drawn.join(split, left_on="document_id", right_on="id")
    assert set(known["split"]) == {"train"}


def test_plans_have_equal_tokens_and_keep_their_threshold(lake: Lake) -> None:
    """Every arm uses the same tokens, fills whole steps, and draws no document more than R times unless marked."""
    plan = lake.get("clusterclip/sampling_plan", "3")
    shape = plan.manifest.metadata
    totals = plan.read().group_by("plan").agg(pl.col("n_tokens").sum())
    assert set(totals["plan"]) == set(PLANS)
    assert set(totals["n_tokens"]) == {shape["tokens"]}
    for name in PLANS:
        _, threshold = arm(name, PlanConfig(clip_threshold=3))
        draws = plan.slice(name).read().filter(~pl.col("fallback"))
        assert draws.group_by("document_id").len()["len"].max() <= threshold
        assert draws["step"].max() < shape["steps"]
        assert draws["slot"].max() < shape["batch_rows"]


def test_s2g_is_the_reverse(lake: Lake) -> None:
    """The same documents with the same tokens in opposite order."""
    plan = lake.get("clusterclip/sampling_plan", "3")
    forward = plan.slice("clusterclip").read("document_id", "n_tokens")
    backward = plan.slice("s2g").read("document_id", "n_tokens")
    assert backward.reverse().equals(forward)
