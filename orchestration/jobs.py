"""Jobs: the main one, and the one that measures claims."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from assets.clusterclip.assets import SEEDS
from assets.clusterclip.config import QUICK_PLANS
from assets.corpora.crawl.config import CRAWL_FILES
from assets.internlm2.text.config import TASKS
from assets.oreal.arms import ARMS as OREAL_ARMS
from assets.oreal.arms import CHOICES, QUICK_ARMS
from orchestration.crawl import AFTER, BEFORE, CORPUS, DOCUMENTS, INDEX, START

MARTS = dg.AssetSelection.groups("staging", "marts")
TOKENS = [*CORPUS, "internlm2/tokens"]
SHARED = MARTS | dg.AssetSelection.assets(
    *TOKENS,
    "corpora/questions",
    "corpora/problems",
    "clusterclip/embeddings",
    "clusterclip/clusters",
    "clusterclip/sampling_plan",
    "clusterclip/champion",
    "claims/clusterclip",
)
WORLD = dg.AssetSelection.assets("worlds/chain_arith", "worlds/chain_arith_tokenizer")
OREAL_START = [f"oreal/{stage}" for stage in ("sft_policy", "initial_rollouts", "prompts", "token_reward_model")]
EVALUATION_SETS = dg.AssetSelection.assets("decontamination/evaluation_sets")
PROBLEMS = EVALUATION_SETS | dg.AssetSelection.assets("corpora/questions", "corpora/problems")
OREAL_CHAMPIONS = dg.AssetSelection.assets("oreal/sft_champion", "oreal/champion")
CASE2CODE_DATA = [f"case2code/{stage}" for stage in ("modules", "functions", "inputs", "cases", "prompts")]


def _arms(plans: tuple[str, ...]) -> dg.AssetSelection:
    keys = [f"clusterclip/{stage}/{plan}" for stage in ("checkpoint", "scores") for plan in plans]
    return dg.AssetSelection.assets(*keys)


def _oreal(arms: Iterable[str]) -> dg.AssetSelection:
    """The world, the start, the arms, and what all of them answer."""
    policies = [f"oreal/policy/{arm}" for arm in arms]
    scores = [f"oreal/scores/{arm}" for arm in ("sft", *arms)]
    return WORLD | dg.AssetSelection.assets(*OREAL_START, *policies, *scores)


quickstart = dg.define_asset_job(
    "quickstart",
    selection=SHARED | EVALUATION_SETS | _arms(QUICK_PLANS) | _oreal(QUICK_ARMS) | OREAL_CHAMPIONS,
    partitions_def=SEEDS,
    description="From a corpus to registered, evaluated checkpoints: one seed of the four main plans, and of a policy "
    "that learns from outcomes.",
    tags={"athanor/main": "true"},
)
clusterclip_arms = dg.define_asset_job(
    "clusterclip_arms",
    selection=dg.AssetSelection.assets(*TOKENS)
    | dg.AssetSelection.groups("clusterclip") - dg.AssetSelection.assets("clusterclip/champion"),
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
    selection=PROBLEMS | WORLD | dg.AssetSelection.groups("fastmcts") | dg.AssetSelection.assets("oreal/sft_policy"),
    partitions_def=SEEDS,
    description="Search, its baselines and the arms trained on their answers, for one seed.",
)
crawl_start = dg.define_asset_job(
    "crawl_start",
    selection=dg.AssetSelection.assets(*START),
    description="What a crawl needs before its first file: classifiers of pages, evaluation sets, the generated crawl.",
)
crawl_pages = dg.define_asset_job(
    "crawl_pages",
    selection=dg.AssetSelection.assets(*BEFORE),
    partitions_def=CRAWL_FILES,
    description="One crawl file: pages, rules, signatures.",
)
crawl_duplicates = dg.define_asset_job(
    "crawl_duplicates",
    selection=dg.AssetSelection.assets(INDEX),
    description="Near-duplicates over all crawl files.",
)
crawl_text = dg.define_asset_job(
    "crawl_text",
    selection=dg.AssetSelection.assets(*AFTER),
    partitions_def=CRAWL_FILES,
    description="One crawl file: what is left without duplicates, unsafe and poor pages.",
)
crawl_documents = dg.define_asset_job(
    "crawl_documents",
    selection=dg.AssetSelection.assets(DOCUMENTS) | MARTS,
    description="The training text of all crawl files, its funnel and the marts.",
)
internlm2_code = dg.define_asset_job(
    "internlm2_code",
    selection=dg.AssetSelection.key_prefixes(["internlm2", "code"]),
    description="Repositories to long documents, what is imported before what imports it.",
)
internlm2_long = dg.define_asset_job(
    "internlm2_long",
    selection=dg.AssetSelection.assets(*TOKENS) | dg.AssetSelection.key_prefixes(["internlm2", "long"]),
    description="Long documents that a model reads better with their context than without.",
)
internlm2_data_arms = dg.define_asset_job(
    "internlm2_data_arms",
    selection=dg.AssetSelection.assets(
        *TOKENS,
        "worlds/labelled_pages",
        *(f"internlm2/text/classifier/{task}" for task in TASKS),
        "worlds/web_pages",
        "internlm2/stage_scores",
        "internlm2/long_scorer",
        "internlm2/long_scores",
    ),
    partitions_def=SEEDS,
    description="For one seed: what the stages of the text pipeline find of planted defects, what perplexity "
    "differences find of spliced documents.",
)
knowledge_pile_arms = dg.define_asset_job(
    "knowledge_pile_arms",
    selection=dg.AssetSelection.assets(*TOKENS, "corpora/installed_docs") | dg.AssetSelection.groups("knowledge_pile"),
    partitions_def=SEEDS,
    description="Queries, pile, and every arm of Knowledge Pile for one seed.",
)
claims = dg.define_asset_job(
    "claims",
    selection=dg.AssetSelection.groups("claims", "staging", "marts"),
    description="Claims and marts from the scores that there are.",
)
# For each system: the job that makes its arms for one seed.
ARMS = {
    "clusterclip": clusterclip_arms,
    "case2code": case2code_arms,
    "fastmcts": fastmcts_arms,
    "oreal": oreal_arms,
    "internlm2_data": internlm2_data_arms,
    "knowledge_pile": knowledge_pile_arms,
}
# And the one that measures its claims alone, whatever was made of the others.
CLAIMS = {
    system: dg.define_asset_job(
        f"{system}_claims",
        selection=MARTS | dg.AssetSelection.assets(f"claims/{system}"),
        description=f"Claims of {system} and marts from the scores that there are.",
    )
    for system in ARMS
}
CRAWL = [crawl_start, crawl_pages, crawl_duplicates, crawl_text, crawl_documents]
JOBS = [quickstart, case2code, oreal, *CRAWL, internlm2_code, internlm2_long, claims, *ARMS.values(), *CLAIMS.values()]
