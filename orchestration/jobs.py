"""Jobs: the main one, and the one that measures claims."""

from __future__ import annotations

import dagster as dg

from assets.clusterclip.assets import SEEDS
from assets.clusterclip.config import QUICK_PLANS

SHARED = dg.AssetSelection.groups("corpora", "internlm2", "staging", "marts", "claims") | dg.AssetSelection.assets(
    "clusterclip/embeddings", "clusterclip/clusters", "clusterclip/sampling_plan", "clusterclip/champion"
)


def _arms(plans: tuple[str, ...]) -> dg.AssetSelection:
    keys = [f"clusterclip/{stage}/{plan}" for stage in ("checkpoint", "scores") for plan in plans]
    return dg.AssetSelection.assets(*keys)


quickstart = dg.define_asset_job(
    "quickstart",
    selection=SHARED | _arms(QUICK_PLANS),
    partitions_def=SEEDS,
    description="From a corpus to a registered, evaluated checkpoint: one seed of the four main plans.",
    tags={"athanor/main": "true"},
)
clusterclip_arms = dg.define_asset_job(
    "clusterclip_arms",
    selection=dg.AssetSelection.groups("corpora", "internlm2", "clusterclip")
    - dg.AssetSelection.assets("clusterclip/champion"),
    partitions_def=SEEDS,
    description="Every plan of ClusterClip for one seed: launch a backfill over seeds 0 to 4 for a full verdict.",
)
claims = dg.define_asset_job(
    "claims",
    selection=dg.AssetSelection.groups("claims", "staging", "marts"),
    description="Claims and marts from the scores that there are.",
)
JOBS = [quickstart, clusterclip_arms, claims]
