"""Configuration of Knowledge Pile: presets TINY (laptop) and PAPER (published values)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

from assets.corpora.docs_config import InstalledDocsConfig
from assets.internlm2.config import DecoderSize

SEEDS = dg.StaticPartitionsDefinition([str(seed) for seed in range(10)])


class PoolConfig(dg.Config):
    """`knowledge_pile/pool`: the collection that is searched. All of it is our default but where said."""

    source: Literal["installed_docs", "documents", "crawl"] = Field(
        "installed_docs",
        description="Installed documentation, the corpus of the other systems, or the cleaned crawl (paper: a crawl).",
    )
    passage_words: int = Field(200, gt=0, description="Passages of about so many words.")
    min_words: int = Field(30, gt=0, description="Shorter passages say nothing. Words.")
    domain_modules: list[str] = Field(
        ["scipy.stats", "sklearn", "statistics", "random", "numpy.random"],
        description="Modules, packages or web domains that the target domain consists of; the method never sees it.",
    )
    heldout_share: float = Field(0.1, gt=0, lt=1, description="Share of the domain's modules held out, by a hash.")
    general_heldout_share: float = Field(0.01, gt=0, lt=1, description="Share of all other modules held out.")
    n_words: int = Field(
        13, gt=0, description="Words in a row that a passage of the pool may not share with a held-out one."
    )
    seed: int = Field(0, description="Another seed holds other modules out.")


class SeedsConfig(dg.Config):
    """`knowledge_pile/seeds`: the little that is known of the domain."""

    domain: str = Field("statistics", description="Name of the domain: the built-in seeds are of `statistics`.")
    path: str = Field("", description="JSON lines of one's own: kind (category, question, keyword, textbook) and text.")


class QueriesConfig(dg.Config):
    """`knowledge_pile/queries`. No value of these is published: all are our defaults."""

    n_rounds: int = Field(2, ge=1, description="Rounds: what one writes are seeds of the next.")
    n_questions: int = Field(4, gt=0, description="Questions asked for per seed.")
    n_feedback: int = Field(32, gt=0, description="Questions and thoughts of a round that become seeds of the next.")
    n_documents: int = Field(
        3, gt=0, description="Rules: passages found by a question, from which its thought is taken (pseudo-relevance)."
    )
    n_sentences: int = Field(3, gt=0, description="Rules: sentences of a thought.")
    n_samples: int = Field(2, gt=0, description="Model: answers per seed, each another list of questions.")
    temperature: float = Field(1.0, ge=0, description="Model: of questions; raised, so that they differ.")
    thought_temperature: float = Field(0.7, ge=0, description="Model: of thoughts.")
    max_new_tokens: int = Field(512, gt=0, description="Model: longest answer. Tokens.")
    similarity: float = Field(0.8, gt=0, le=1, description="Queries with this Jaccard similarity (5-grams) are one.")
    sample_seed: int = Field(0, description="Another seed writes other queries.")


class IndexConfig(dg.Config):
    """`knowledge_pile/index`: BM25, with the defaults of Elasticsearch and Lucene (our default; the paper has none)."""

    k1: float = Field(1.2, ge=0, description="How soon repeated words stop counting.")
    b: float = Field(0.75, ge=0, le=1, description="How far long passages are discounted.")


class HitsConfig(dg.Config):
    """`knowledge_pile/hits`."""

    top_k: int = Field(200, gt=0, description="Passages kept per query (secondary: 1000); our pool is small.")


class PileConfig(dg.Config):
    """`knowledge_pile/pile`: what stays of the union. The published filters are not known: our defaults."""

    min_words: int = Field(30, ge=0, description="Shorter passages are dropped. Words.")
    max_words: int = Field(100_000, gt=0, description="Longer ones too. Words.")
    max_symbol_share: float = Field(
        0.35, gt=0, le=1, description="Share of characters that are neither letters, digits nor white space."
    )
    similarity: float = Field(0.7, gt=0, le=1, description="Passages with this Jaccard similarity (5-grams) are one.")


class ContaminationConfig(dg.Config):
    """`knowledge_pile/contamination`."""

    n_words: int = Field(13, gt=0, description="Words in a row that count as an overlap (our default).")


class SelectConfig(dg.Config):
    """`knowledge_pile/selection/<arm>`. Our defaults."""

    tokens: int = Field(200_704, gt=0, description="Budget of every arm, `<s>` and `</s>` included. Tokens.")
    query_share: float = Field(
        0.8, gt=0, le=1, description="Share of an arm's queries that a seed draws: seeds differ by it."
    )


class TrainingConfig(dg.Config):
    """What the base and the arms have in common; the paper's learning rate, batch and schedule are not known."""

    sequence_length: int = Field(256, gt=1, description="Tokens per row.")
    batch_rows: int = Field(4, gt=0, description="Rows per step.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps with rising learning rate.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW (InternLM2, Table 3).")
    checkpoint_every: int = Field(100, gt=0, description="Steps between trainer states: what a kill costs at most.")


class BaseConfig(DecoderSize, TrainingConfig):
    """`knowledge_pile/base`: the decoder's size and its training on passages drawn from the whole pool."""

    peak_lr: float = Field(3e-3, gt=0, description="Peak learning rate; our default for small models.")
    tokens: int = Field(400_384, gt=0, description="Tokens of the base; our default.")


class LearnConfig(TrainingConfig):
    """`knowledge_pile/checkpoint/<arm>`: continued training; its tokens are those of the selection."""

    peak_lr: float = Field(1e-3, gt=0, description="Peak learning rate; lower than the base's; our default.")


class ScoreConfig(dg.Config):
    """`knowledge_pile/scores/<arm>`."""

    batch_tokens: int = Field(2048, gt=0, description="Tokens per forward pass.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    docs: InstalledDocsConfig
    pool: PoolConfig
    seeds: SeedsConfig
    queries: QueriesConfig
    index: IndexConfig
    hits: HitsConfig
    pile: PileConfig
    contamination: ContaminationConfig
    select: SelectConfig
    base: BaseConfig
    learn: LearnConfig
    score: ScoreConfig


TINY = Config(
    InstalledDocsConfig(),
    PoolConfig(),
    SeedsConfig(),
    QueriesConfig(),
    IndexConfig(),
    HitsConfig(),
    PileConfig(),
    ContaminationConfig(),
    SelectConfig(),
    BaseConfig(),
    LearnConfig(),
    ScoreConfig(),
)
PAPER = Config(
    docs=InstalledDocsConfig(packages=[]),
    pool=PoolConfig(source="crawl"),
    seeds=SeedsConfig(),
    queries=QueriesConfig(n_questions=10, n_samples=8, n_feedback=1_000),
    index=IndexConfig(),
    hits=HitsConfig(top_k=1000),
    pile=PileConfig(),
    contamination=ContaminationConfig(),
    # The paper continues Llama2 and Mistral for 50,000 steps (secondary) with a batch that is not known; this is
    # InternLM2 7B (its Table 3), whose decoder is the one built here, for as many steps of 64 rows of 4,096 tokens.
    select=SelectConfig(tokens=50_000 * 64 * 4096),
    base=BaseConfig(
        dim=4096, n_layers=32, n_heads=32, n_kv_heads=8, ffn_dim=14336, max_length=4096, peak_lr=3e-4,
        sequence_length=4096, batch_rows=64, tokens=100_000 * 64 * 4096,
    ),
    learn=LearnConfig(sequence_length=4096, batch_rows=64, peak_lr=1e-4),
    score=ScoreConfig(),
)  # fmt: skip
