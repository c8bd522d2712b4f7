"""Configuration of ClusterClip: presets TINY (laptop) and PAPER (published values)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

from assets.internlm2.config import DecoderSize

# The arms of the comparison. A number behind an arm is its clip threshold R; the others take it from PlanConfig.
QUICK_PLANS = ("random", "uniform", "clusterclip", "s2g")
SWEEP_PLANS = ("clusterclip_r1", "clusterclip_r2", "clusterclip_r10")
PLANS = QUICK_PLANS + SWEEP_PLANS


class EmbedConfig(dg.Config):
    """`clusterclip/embeddings`."""

    method: Literal["tfidf_svd", "sentence_transformer"] = Field(
        "tfidf_svd", description="TF-IDF with truncated SVD needs no download; the paper uses a sentence encoder."
    )
    dim: int = Field(64, gt=0, description="Dimensions of the SVD.")
    max_features: int = Field(8192, gt=0, description="Terms of the TF-IDF vocabulary.")
    model: str = Field("", description="Name or folder of a sentence-transformers model.")
    max_seq_length: int = Field(256, gt=0, description="The encoder sees no more of a document. Tokens.")
    batch_size: int = Field(32, gt=0, description="Documents per encoder batch (official repo: 32).")
    trust_remote_code: bool = Field(
        False, description="Let the encoder run code of its own, as the paper's needs: set it only for one you trust."
    )
    seed: int = Field(0, description="Seed of the SVD.")


class ClusterConfig(dg.Config):
    """`clusterclip/clusters`."""

    n_clusters: int = Field(32, gt=0, description="K. 2000 in the official README, 5000 in its code.")
    documents_per_cluster: int = Field(
        10, gt=0, description="A small corpus gets fewer clusters, so that they hold this many documents on average."
    )
    max_iterations: int = Field(300, gt=0, description="Iterations of k-means (official README: 300).")
    early_stop_iterations: int = Field(50, gt=0, description="Stop after so many without improvement (official: 50).")
    n_runs: int = Field(1, gt=0, description="Runs with other initial points; the best is kept (official: 1).")
    seed: int = Field(42, description="Seed of the initial points (official: 42).")
    heldout_fraction: float = Field(0.1, gt=0, lt=1, description="Share of each cluster held out; our default.")
    heldout_min: int = Field(
        8, ge=1, description="At least so many are held out of a cluster, so that rare ones count."
    )
    heldout_seed: int = Field(0, description="Another seed holds other documents out.")
    skew: float = Field(
        default_factory=lambda: 0.0 if os.environ.get("ATHANOR_CORPUS") else 1.5,
        ge=0,
        description="Exponent of the Zipf sizes to which the training side of the clusters is thinned; 0 keeps them. "
        "The Python library is nearly balanced, so that no clip would ever act; a corpus of one's own is kept whole.",
    )


class PlanConfig(dg.Config):
    """`clusterclip/sampling_plan`."""

    clip_threshold: int = Field(5, ge=1, description="R: passes after which a cluster is removed (secondary: 5).")
    epochs: float = Field(
        1.5, gt=0, description="Budget of every plan in passes over the training tokens; our default."
    )
    sequence_length: int = Field(256, gt=1, description="Tokens per training row.")
    batch_rows: int = Field(4, gt=0, description="Rows per step; the paper's batch is not known.")
    on_exhausted: Literal["raise", "random"] = Field(
        "random",
        description="When every cluster is removed before the budget is met: stop, or go on at random (marked).",
    )


class TrainConfig(DecoderSize):
    """`clusterclip/checkpoint/<plan>`: the decoder's size and its training."""

    peak_lr: float = Field(
        3e-3, gt=0, description="Peak learning rate; ours for small models, the paper's is not known."
    )
    warmup_share: float = Field(
        0.05, ge=0, lt=1, description="Share of the steps with rising learning rate; our default."
    )
    weight_decay: float = Field(0.1, ge=0, description="AdamW (InternLM2, Table 3).")
    checkpoint_every: int = Field(100, gt=0, description="Steps between trainer states: what a kill costs at most.")


class ScoreConfig(dg.Config):
    """`clusterclip/scores/<plan>`."""

    train_sample_per_cluster: int = Field(
        20, ge=1, description="Training documents scored per cluster, for the gap between training and held-out text."
    )
    batch_tokens: int = Field(2048, gt=0, description="Tokens per forward pass.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    embed: EmbedConfig
    cluster: ClusterConfig
    plan: PlanConfig
    train: TrainConfig
    score: ScoreConfig


TINY = Config(EmbedConfig(), ClusterConfig(), PlanConfig(), TrainConfig(), ScoreConfig())
PAPER = Config(
    embed=EmbedConfig(method="sentence_transformer", model="jinaai/jina-embeddings-v2-base-en", max_seq_length=4096),
    cluster=ClusterConfig(n_clusters=2000, skew=0.0),
    plan=PlanConfig(sequence_length=4096),
    # The paper trains Llama2-7B; this is InternLM2 7B (Table 3), whose decoder is the one built here.
    train=TrainConfig(dim=4096, n_layers=32, n_heads=32, n_kv_heads=8, ffn_dim=14336, max_length=4096, peak_lr=3e-4),
    score=ScoreConfig(),
)
