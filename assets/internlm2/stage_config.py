"""Configuration of claim I1: the stages of the text pipeline on pages whose defects are known."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import Field

from assets.internlm2.text.config import DedupConfig, QualityConfig, RulesConfig, SafetyConfig, SignaturesConfig

SEEDS = dg.StaticPartitionsDefinition([str(seed) for seed in range(10)])


class StageScoresConfig(dg.Config):
    """`internlm2/stage_scores`: the settings of the pipeline's stages, which are measured as configured."""

    rules: RulesConfig = Field(default_factory=RulesConfig, description="Of the rules.")
    signatures: SignaturesConfig = Field(default_factory=SignaturesConfig, description="Of deduplication.")
    dedup: DedupConfig = Field(default_factory=DedupConfig, description="Of deduplication.")
    safety: SafetyConfig = Field(
        default_factory=SafetyConfig, description="Of safety; the lists of blocked domains and words are the world's."
    )
    quality: QualityConfig = Field(default_factory=QualityConfig, description="Of quality.")
    n_extracted: int = Field(
        400, gt=0, description="Pages whose main text is extracted from their HTML; evenly over the crawl. Our default."
    )


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    stage_scores: StageScoresConfig


TINY = Config(StageScoresConfig())
PAPER = Config(StageScoresConfig(n_extracted=5_000))
