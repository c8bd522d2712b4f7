"""Presets of all systems as Dagster run configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

import assets.case2code.config as case2code
import assets.clusterclip.config as clusterclip
import assets.corpora.config as corpora
import assets.corpora.crawl.config as crawl
import assets.corpora.evaluation.config as evaluation
import assets.fastmcts.config as fastmcts
import assets.internlm2.code.config as internlm2_code
import assets.internlm2.config as internlm2
import assets.internlm2.long.config as internlm2_long
import assets.internlm2.stage_config as internlm2_stages
import assets.internlm2.text.config as internlm2_text
import assets.knowledge_pile.config as knowledge_pile
import assets.oreal.config as oreal
import assets.worlds.chain_arith.config as chain_arith
import assets.worlds.web_pages.config as web_pages
from assets.case2code.arms import ARMS, TRAINED_ARMS
from assets.fastmcts.arms import ARMS as FASTMCTS_ARMS
from assets.fastmcts.arms import PAIR_ARMS, SFT_ARMS
from assets.internlm2.text.config import TASKS
from assets.knowledge_pile.arms import ARMS as PILE_ARMS
from assets.oreal.arms import ARMS as OREAL_ARMS
from assets.oreal.arms import CHOICES, QUICK_ARMS


@dataclass(frozen=True)
class Preset:
    """One preset of every system."""

    corpora: corpora.Config
    internlm2: internlm2.Config
    clusterclip: clusterclip.Config
    case2code: case2code.Config
    chain_arith: chain_arith.Config
    fastmcts: fastmcts.Config
    oreal: oreal.Config
    crawl: crawl.Config
    web_pages: web_pages.Config
    text: internlm2_text.Config
    code: internlm2_code.Config
    long: internlm2_long.Config
    stages: internlm2_stages.Config
    evaluation: evaluation.Config
    knowledge_pile: knowledge_pile.Config


SYSTEMS = (
    corpora, internlm2, clusterclip, case2code, chain_arith, fastmcts, oreal, crawl, web_pages, internlm2_text,
    internlm2_code, internlm2_long, internlm2_stages, evaluation, knowledge_pile,
)  # fmt: skip
PRESETS = {
    "tiny": Preset(*(system.TINY for system in SYSTEMS)),  # type: ignore[arg-type]
    "paper": Preset(*(system.PAPER for system in SYSTEMS)),  # type: ignore[arg-type]
}


def run_config(preset: Preset, job: str = "quickstart") -> dict[str, Any]:
    """Run configuration for a job of `SECTIONS`: paste it into the launchpad, or give it to `athanor demo --config`."""
    sections = SECTIONS[job](preset)
    return {"ops": {name: {"config": section.model_dump(mode="json")} for name, section in sections.items()}}


def _corpus(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        "corpora__python_library": preset.corpora.library,
        "corpora__files": preset.corpora.files,
        "corpora__documents": preset.corpora.documents,
        "corpora__clean_documents": preset.corpora.clean,
        "internlm2__tokenizer": preset.internlm2.tokenizer,
    }


def _quickstart(preset: Preset) -> Mapping[str, dg.Config]:
    plans = clusterclip.QUICK_PLANS
    return {
        **_corpus(preset),
        "clusterclip__embeddings": preset.clusterclip.embed,
        "clusterclip__clusters": preset.clusterclip.cluster,
        "clusterclip__sampling_plan": preset.clusterclip.plan,
        **{f"clusterclip__checkpoint__{plan}": preset.clusterclip.train for plan in plans},
        **{f"clusterclip__scores__{plan}": preset.clusterclip.score for plan in plans},
        **_oreal(preset),
    }


def _case2code(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        "case2code__modules": preset.case2code.modules,
        "case2code__functions": preset.case2code.functions,
        "case2code__inputs": preset.case2code.writer,
        "case2code__cases": preset.case2code.execute,
        "case2code__prompts": preset.case2code.prompts,
    }


def _case2code_arms(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        "corpora__python_library": preset.corpora.library,
        **_case2code(preset),
        "case2code__programs": preset.case2code.grammar,
        "case2code__code": preset.case2code.code,
        "case2code__tokenizer": preset.case2code.tokenizer,
        "case2code__base": preset.case2code.base,
        **{f"case2code__checkpoint__{arm}": preset.case2code.learn for arm in TRAINED_ARMS},
        **{f"case2code__grades__{arm}": preset.case2code.evaluate for arm in ARMS},
    }


def _problems(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        "worlds__chain_arith": preset.chain_arith.problems,
        "corpora__questions": preset.corpora.questions,
        "corpora__problems": preset.corpora.problems,
        "decontamination__evaluation_sets": preset.evaluation.evaluation_sets,
    }


def _oreal_of(preset: Preset, arms: Iterable[str]) -> Mapping[str, dg.Config]:
    return {
        **_problems(preset),
        "oreal__sft_policy": preset.oreal.sft,
        "oreal__initial_rollouts": preset.oreal.rollouts,
        "oreal__prompts": preset.oreal.prompts,
        "oreal__token_reward_model": preset.oreal.token_reward,
        **{f"oreal__policy__{arm}": preset.oreal.policy for arm in arms},
        **{f"oreal__scores__{arm}": preset.oreal.evaluate for arm in ("sft", *arms)},
    }


def _oreal(preset: Preset) -> Mapping[str, dg.Config]:
    champions = {f"oreal__{name}": preset.oreal.champion for name in ("sft_champion", "champion")}
    return {**_oreal_of(preset, QUICK_ARMS), **champions}


def _oreal_arms(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        **_oreal_of(preset, OREAL_ARMS),
        "oreal__token_credit": preset.oreal.credit,
        **{f"oreal__enhanced__{choice}": preset.oreal.enhance for choice in CHOICES},
    }


def _fastmcts_arms(preset: Preset) -> Mapping[str, dg.Config]:
    searches = ("simulations", "rejection", "vanilla")
    return {
        **_problems(preset),
        "oreal__sft_policy": preset.oreal.sft,
        "fastmcts__problems": preset.fastmcts.screen,
        **{f"fastmcts__{name}": preset.fastmcts.search for name in searches},
        "fastmcts__ablations": preset.fastmcts.ablation,
        "fastmcts__sft_rows": preset.fastmcts.paths,
        "fastmcts__preferences": preset.fastmcts.preferences,
        **{f"fastmcts__checkpoint__{arm}": preset.fastmcts.learn for arm in SFT_ARMS},
        **{f"fastmcts__checkpoint__{arm}": preset.fastmcts.prefer for arm in PAIR_ARMS},
        **{f"fastmcts__scores__{arm}": preset.fastmcts.evaluate for arm in FASTMCTS_ARMS},
    }


def _crawl(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        **_corpus(preset),
        "worlds__web_crawl": preset.web_pages.crawl,
        "worlds__labelled_pages": preset.web_pages.labelled,
        **{f"internlm2__text__classifier__{task}": preset.text.classifier for task in TASKS},
        "worlds__chain_arith": preset.chain_arith.problems,
        "corpora__questions": preset.corpora.questions,
        "decontamination__evaluation_sets": preset.evaluation.evaluation_sets,
        "corpora__pages": preset.crawl.crawl,
        "internlm2__text__filtered": preset.text.rules,
        "internlm2__text__signatures": preset.text.signatures,
        "internlm2__text__duplicates": preset.text.dedup,
        "internlm2__text__safe": preset.text.safety,
        "internlm2__text__clean": preset.text.quality,
    }


def _code(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        "internlm2__code__files": preset.code.files,
        "internlm2__code__deduplicated": preset.code.deduplicate,
        "internlm2__code__labels": preset.code.labels,
        "internlm2__code__scored": preset.code.score,
        "internlm2__code__repositories": preset.code.repositories,
    }


def _long(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        **_corpus(preset),
        "internlm2__long__candidates": preset.long.candidates,
        "internlm2__long__statistics": preset.long.statistics,
        "internlm2__long__scorer": preset.long.scorer,
        "internlm2__long__perplexity": preset.long.perplexity,
        "internlm2__long__documents": preset.long.select,
    }


def _internlm2_data_arms(preset: Preset) -> Mapping[str, dg.Config]:
    return {
        **_corpus(preset),
        "worlds__labelled_pages": preset.web_pages.labelled,
        **{f"internlm2__text__classifier__{task}": preset.text.classifier for task in TASKS},
        "worlds__web_pages": preset.web_pages.pages,
        "internlm2__stage_scores": preset.stages.stage_scores,
        "internlm2__long_scorer": preset.long.scorer,
        "internlm2__long_scores": preset.long.scores,
    }


def _knowledge_pile_arms(preset: Preset) -> Mapping[str, dg.Config]:
    own = preset.knowledge_pile
    return {
        **_corpus(preset),
        "corpora__installed_docs": own.docs,
        "knowledge_pile__pool": own.pool,
        "knowledge_pile__seeds": own.seeds,
        "knowledge_pile__queries": own.queries,
        "knowledge_pile__index": own.index,
        "knowledge_pile__hits": own.hits,
        "knowledge_pile__pile": own.pile,
        "knowledge_pile__contamination": own.contamination,
        **{f"knowledge_pile__selection__{arm}": own.select for arm in PILE_ARMS},
        "knowledge_pile__base": own.base,
        **{f"knowledge_pile__checkpoint__{arm}": own.learn for arm in PILE_ARMS},
        **{f"knowledge_pile__scores__{arm}": own.score for arm in PILE_ARMS},
    }


SECTIONS: Mapping[str, Callable[[Preset], Mapping[str, dg.Config]]] = {
    "quickstart": _quickstart,
    "case2code": _case2code,
    "case2code_arms": _case2code_arms,
    "fastmcts_arms": _fastmcts_arms,
    "oreal": _oreal,
    "oreal_arms": _oreal_arms,
    "crawl": _crawl,
    "internlm2_code": _code,
    "internlm2_long": _long,
    "internlm2_data_arms": _internlm2_data_arms,
    "knowledge_pile_arms": _knowledge_pile_arms,
}
