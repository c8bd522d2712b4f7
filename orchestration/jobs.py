"""Jobs: the main one, and the one that measures claims."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from assets.clusterclip.assets import SEEDS
from assets.clusterclip.config import QUICK_PLANS
from assets.oreal.arms import ARMS as OREAL_ARMS
from assets.oreal.arms import CHOICES, QUICK_ARMS

SHARED = dg.AssetSelection.groups("corpora", "internlm2", "staging", "marts") | dg.AssetSelection.assets(
    "clusterclip/embeddings",
    "clusterclip/clusters",
    "clusterclip/sampling_plan",
    "clusterclip/champion",
    "claims/clusterclip",
)
OREAL_START = [f"oreal/{stage}" for stage in ("sft_policy", "initial_rollouts", "prompts", "token_reward_model")]
PROBLEMS = dg.AssetSelection.assets("corpora/questions", "corpora/problems")
OREAL_CHAMPIONS = dg.AssetSelection.assets("oreal/sft_champion", "oreal/champion")
CASE2CODE_DATA = [f"case2code/{stage}" for stage in ("modules", "functions", "inputs", "cases", "prompts")]


def _arms(plans: tuple[str, ...]) -> dg.AssetSelection:
    keys = [f"clusterclip/{stage}/{plan}" for stage in ("checkpoint", "scores") for plan in plans]
    return dg.AssetSelection.assets(*keys)


def _oreal(arms: Iterable[str]) -> dg.AssetSelection:
    """The world, the start, the arms, and what all of them answer."""
    policies = [f"oreal/policy/{arm}" for arm in arms]
    scores = [f"oreal/scores/{arm}" for arm in ("sft", *arms)]
    return dg.AssetSelection.groups("worlds") | dg.AssetSelection.assets(*OREAL_START, *policies, *scores)


quickstart = dg.define_asset_job(
    "quickstart",
    selection=SHARED | _arms(QUICK_PLANS) | _oreal(QUICK_ARMS) | OREAL_CHAMPIONS,
    partitions_def=SEEDS,
    description="From a corpus to registered, evaluated checkpoints: one seed of the four main plans, and of a policy "
    "that learns from outcomes.",
    tags={"athanor/main": "true"},
)
clusterclip_arms = dg.define_asset_job(
    "clusterclip_arms",
    selection=dg.AssetSelection.groups("corpora", "internlm2", "clusterclip")
    - dg.AssetSelection.assets("clusterclip/champion"),
    partitions_def=SEEDS,
    description="Every plan of ClusterClip for one seed: launch a backfill over seeds 0 to 4 for a full verdict.",
)
case2code = dg.define_asset_job(
    "case2code",
    selection=dg.AssetSelection.assets(*CASE2CODE_DATA),
    description="From Python modules to Case2Code prompts: functions, inputs, executed cases.",
)
case2code_arms = dg.define_asset_job(
    "case2code_arms",
    selection=dg.AssetSelection.groups("case2code") | dg.AssetSelection.assets("corpora/python_library"),
    partitions_def=SEEDS,
    description="Every arm of Case2Code for one seed, graded by execution.",
)
oreal = dg.define_asset_job(
    "oreal",
    selection=PROBLEMS | _oreal(QUICK_ARMS) | OREAL_CHAMPIONS,
    partitions_def=SEEDS,
    description="From problems to a promoted policy: fine-tuning, then reinforcement learning from outcomes.",
)
oreal_arms = dg.define_asset_job(
    "oreal_arms",
    selection=PROBLEMS
    | _oreal(tuple(OREAL_ARMS))
    | dg.AssetSelection.assets("oreal/token_credit", *(f"oreal/enhanced/{choice}" for choice in CHOICES)),
    partitions_def=SEEDS,
    description="Every arm of OREAL for one seed: the ladder and the baselines.",
)
fastmcts_arms = dg.define_asset_job(
    "fastmcts_arms",
    selection=PROBLEMS | dg.AssetSelection.groups("worlds", "fastmcts") | dg.AssetSelection.assets("oreal/sft_policy"),
    partitions_def=SEEDS,
    description="Search, its baselines and the arms trained on their answers, for one seed.",
)
claims = dg.define_asset_job(
    "claims",
    selection=dg.AssetSelection.groups("claims", "staging", "marts"),
    description="Claims and marts from the scores that there are.",
)
# For each system: the job that makes its arms for one seed.
ARMS = {"clusterclip": clusterclip_arms, "case2code": case2code_arms, "fastmcts": fastmcts_arms, "oreal": oreal_arms}
# And the one that measures its claims alone, whatever was made of the others.
CLAIMS = {
    system: dg.define_asset_job(
        f"{system}_claims",
        selection=dg.AssetSelection.groups("staging", "marts") | dg.AssetSelection.assets(f"claims/{system}"),
        description=f"Claims of {system} and marts from the scores that there are.",
    )
    for system in ARMS
}
JOBS = [quickstart, case2code, oreal, claims, *ARMS.values(), *CLAIMS.values()]
