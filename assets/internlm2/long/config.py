"""Configuration of the long-text pipeline: presets TINY (laptop) and PAPER (published values)."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import Field, model_validator

from assets.internlm2.config import DecoderSize
from assets.internlm2.long.statistics import STATISTICS

SEEDS = dg.StaticPartitionsDefinition([str(seed) for seed in range(10)])
SOURCES = ("internlm2/code/repositories", "internlm2/text/documents", "corpora/clean_documents")


class CandidatesConfig(dg.Config):
    """`internlm2/long/candidates`."""

    sources: list[str] = Field(
        list(SOURCES),
        description="Where long documents are looked for: SOURCES, or some of them; one not built is passed over.",
    )
    min_bytes: int = Field(32_768, ge=0, description="Documents of at most so many are dropped. Bytes (paper, §3.1.3).")

    @model_validator(mode="after")
    def _known(self) -> CandidatesConfig:
        if unknown := set(self.sources) - set(SOURCES):
            raise ValueError(f"no such source: {', '.join(sorted(unknown))}; the sources are {', '.join(SOURCES)}")
        return self


class StatisticsConfig(dg.Config):
    """`internlm2/long/statistics`. The paper tunes limits by domain and language and gives none: all are ours."""

    limits: dict[str, dict[str, list[float]]] = Field(
        {
            "text": {"dedu_rate": [0.01, 1.0], "enter_rate": [0.0, 0.2], "bar_rate": [0.0, 0.05]},
            "text/en": {"conjunction_rate": [0.001, 1.0]},
            "text/zh": {"conjunction_rate": [0.001, 1.0]},
            "code": {"dedu_rate": [0.01, 1.0], "enter_rate": [0.0, 0.2], "bar_rate": [0.0, 0.05]},
        },
        description="By domain (text or code), or domain/language (as text/zh): the least and greatest value of a "
        "metric. They are to remove what means nothing, not to pick the best (paper, §3.1.3).",
    )

    @model_validator(mode="after")
    def _known(self) -> StatisticsConfig:
        for group, limits in self.limits.items():
            for name, bounds in limits.items():
                if name not in STATISTICS or len(bounds) != 2:
                    raise ValueError(
                        f"{group}: {name} {bounds} is no limit: give the least and greatest of {STATISTICS}"
                    )
        return self


class ChunkConfig(dg.Config):
    """What of a document the scorer reads: 4,096, 1,024 and 1,024 (official repo: OpenLMLab/LongWanjuan), over 16."""

    chunk: int = Field(256, gt=1, description="A document is cut into chunks of so many tokens.")
    target: int = Field(64, gt=0, description="The last tokens of a chunk, on which the loss is taken.")
    short_context: int = Field(64, ge=0, description="Tokens before them that are read for ppl_wo.")

    @model_validator(mode="after")
    def _fits(self) -> ChunkConfig:
        if self.target + self.short_context >= self.chunk:
            raise ValueError("target and short_context together are less than chunk: what is left is the long context")
        return self


class ScorerConfig(DecoderSize):
    """`internlm2/long/scorer` and `internlm2/long_scorer`: the model that scores, and its training; our defaults."""

    tokens: int = Field(400_000, gt=0, description="Tokens of training, padding included.")
    min_tokens: int = Field(
        128, ge=1, description="Shorter documents are not read: they hold no long context to learn from."
    )
    sequence_length: int = Field(
        256, gt=1, description="Tokens of a row: at least a chunk, or no long context is learnt."
    )
    batch_rows: int = Field(8, gt=0, description="Rows per step.")
    peak_lr: float = Field(3e-3, gt=0, description="Peak learning rate.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps with rising learning rate.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW (paper, Table 3).")
    checkpoint_every: int = Field(200, gt=0, description="Steps between trainer states: what a kill costs at most.")
    heldout_share: float = Field(
        0.25, ge=0, lt=1, description="`internlm2/long_scorer`: share of the packages, by a hash of the name, not read."
    )


class PerplexityConfig(ChunkConfig):
    """`internlm2/long/perplexity`."""

    max_chunks: int = Field(32, ge=0, description="Chunks scored of a document, evenly spaced; 0 scores all.")
    batch_tokens: int = Field(8_192, gt=0, description="Tokens per forward pass.")


class SelectConfig(dg.Config):
    """`internlm2/long/documents`."""

    min_delta: dict[str, float] = Field(
        {"text": -10.0, "code": -10.0},
        description="By domain or domain/language: least mean ppl_delta, in perplexity. Paper, §3.1.3: dropped is what "
        "its context hurts, so 0, tuned on borderline documents. The laptop's scorer is hurt by most contexts: -10.",
    )


class ScoresConfig(ChunkConfig):
    """`internlm2/long_scores`: true continuations against spliced halves."""

    heldout_share: float = Field(0.25, gt=0, lt=1, description="As `internlm2/long_scorer` was trained.")
    max_items: int = Field(400, gt=1, description="Documents, true and spliced each; chosen by a hash of their id.")
    batch_tokens: int = Field(8_192, gt=0, description="Tokens per forward pass.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    candidates: CandidatesConfig
    statistics: StatisticsConfig
    scorer: ScorerConfig
    perplexity: PerplexityConfig
    select: SelectConfig
    scores: ScoresConfig


TINY = Config(
    CandidatesConfig(), StatisticsConfig(), ScorerConfig(), PerplexityConfig(), SelectConfig(), ScoresConfig()
)
_CHUNK = {"chunk": 4096, "target": 1024, "short_context": 1024}
PAPER = Config(
    candidates=CandidatesConfig(),
    statistics=StatisticsConfig(),
    # The paper does not say which model scores; this is the size of InternLM2 1.8B (Table 3).
    scorer=ScorerConfig(
        dim=2048,
        n_layers=24,
        n_heads=16,
        n_kv_heads=8,
        ffn_dim=8192,
        max_length=4096,
        sequence_length=4096,
        peak_lr=3e-4,
    ),
    perplexity=PerplexityConfig(**_CHUNK, max_chunks=0),
    select=SelectConfig(min_delta={"text": 0.0, "code": 0.0}),
    scores=ScoresConfig(**_CHUNK),
)
