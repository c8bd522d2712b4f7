"""The code location: all assets, checks, jobs, schedules and sensors, with the resources of the profile."""

from __future__ import annotations

import dagster as dg

import assets.case2code.assets
import assets.case2code.checkpoints
import assets.case2code.grading
import assets.case2code.learning
import assets.clusterclip.assets
import assets.clusterclip.evaluation
import assets.corpora.assets
import assets.corpora.crawl.assets
import assets.corpora.docs_assets
import assets.corpora.evaluation.assets
import assets.corpora.problem_assets
import assets.fastmcts.assets
import assets.fastmcts.checkpoints
import assets.fastmcts.evaluation
import assets.fastmcts.training_rows
import assets.internlm2.assets
import assets.internlm2.code.assets
import assets.internlm2.data_claims
import assets.internlm2.long.assets
import assets.internlm2.long.evaluation
import assets.internlm2.long.scorers
import assets.internlm2.stage_scores
import assets.internlm2.text.assets
import assets.knowledge_pile.assets
import assets.knowledge_pile.claim_assets
import assets.knowledge_pile.contamination_assets
import assets.knowledge_pile.pool_assets
import assets.knowledge_pile.training_assets
import assets.oreal.assets
import assets.oreal.champions
import assets.oreal.credit
import assets.oreal.enhancement
import assets.oreal.evaluation
import assets.oreal.policies
import assets.oreal.results
import assets.oreal.reward_model
import assets.worlds.chain_arith.assets
import assets.worlds.web_pages.assets
from orchestration.automation import SCHEDULES, SENSORS
from orchestration.dbt import dbt_assets, prepare_manifest
from orchestration.jobs import JOBS
from orchestration.profiles import current_profile, resources

MODULES = (
    assets.corpora.assets,
    assets.internlm2.assets,
    assets.clusterclip.assets,
    assets.clusterclip.evaluation,
    assets.case2code.assets,
    assets.case2code.learning,
    assets.case2code.checkpoints,
    assets.case2code.grading,
    assets.corpora.problem_assets,
    assets.worlds.chain_arith.assets,
    assets.oreal.assets,
    assets.oreal.reward_model,
    assets.oreal.credit,
    assets.oreal.enhancement,
    assets.oreal.policies,
    assets.oreal.evaluation,
    assets.oreal.results,
    assets.fastmcts.assets,
    assets.fastmcts.training_rows,
    assets.fastmcts.checkpoints,
    assets.fastmcts.evaluation,
    assets.oreal.champions,
    assets.worlds.web_pages.assets,
    assets.corpora.crawl.assets,
    assets.corpora.docs_assets,
    assets.corpora.evaluation.assets,
    assets.internlm2.text.assets,
    assets.internlm2.code.assets,
    assets.internlm2.long.scorers,
    assets.internlm2.long.assets,
    assets.internlm2.long.evaluation,
    assets.internlm2.stage_scores,
    assets.internlm2.data_claims,
    assets.knowledge_pile.pool_assets,
    assets.knowledge_pile.assets,
    assets.knowledge_pile.training_assets,
    assets.knowledge_pile.contamination_assets,
    assets.knowledge_pile.claim_assets,
)


@dg.definitions
def defs() -> dg.Definitions:
    """On the laptop a job runs in one process: starting one per step costs more than the small steps do."""
    executor = dg.in_process_executor if current_profile() == "laptop" else dg.multiprocess_executor
    return dg.Definitions(
        assets=[*dg.load_assets_from_modules(MODULES), dbt_assets(prepare_manifest())],
        asset_checks=dg.load_asset_checks_from_modules(MODULES),
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources=resources(),
        executor=executor,
    )
