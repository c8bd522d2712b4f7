"""Configuration of OREAL: presets TINY (laptop) and PAPER (published values)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

from assets.internlm2.config import DecoderSize

SEEDS = dg.StaticPartitionsDefinition([str(seed) for seed in range(10)])


class SftConfig(DecoderSize):
    """`oreal/sft_policy`: the start of every arm; it ends when it is good enough and still makes mistakes."""

    base: str = Field("", description="Hugging Face folder to start from; empty: a fresh decoder of the sizes here.")
    dim: int = Field(96, gt=0, description="Width of the residual stream.")
    n_layers: int = Field(3, gt=0, description="Decoder layers (ChainArith's feasibility study).")
    n_heads: int = Field(3, gt=0, description="Query heads.")
    n_kv_heads: int = Field(1, gt=0, description="Key and value heads (GQA).")
    ffn_dim: int = Field(256, gt=0, description="Inner width of SwiGLU.")
    max_length: int = Field(160, gt=0, description="Context length. Tokens.")
    rope_base: float = Field(10_000.0, gt=0, description="RoPE base: chains are short; our default.")
    steps: int = Field(900, gt=0, description="Most steps; the learning rate stays constant, so that any may be last.")
    batch_rows: int = Field(16, gt=0, description="Rows per step.")
    sequence_length: int = Field(160, gt=1, description="Tokens per row; several solutions are packed into one.")
    peak_lr: float = Field(2e-3, gt=0, description="Peak learning rate (ChainArith's feasibility study).")
    warmup_steps: int = Field(20, ge=0, description="Steps with rising learning rate.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW (InternLM2, Table 3).")
    select_every: int = Field(25, gt=0, description="Steps between two looks at the policy.")
    accuracy_low: float = Field(0.5, ge=0, le=1, description="Greedy accuracy from which a policy is a candidate.")
    accuracy_high: float = Field(0.7, ge=0, le=1, description="Greedy accuracy beyond which training ends.")
    min_informative: float = Field(
        0.4, ge=0, le=1, description="Least share of problems with 0 < p < 1; below, nothing can be learned."
    )
    n_problems: int = Field(120, gt=0, description="Validation problems that the policy is looked at with.")
    n_samples: int = Field(16, gt=1, description="Samples per problem for p (specification of ChainArith: K = 16).")
    max_new_tokens: int = Field(96, gt=0, description="Longest response. Tokens.")


class RolloutsConfig(dg.Config):
    """`oreal/initial_rollouts`: what the start answers; pass rates and the token reward model are made of it."""

    n_samples: int = Field(16, gt=1, description="Samples per question (paper, §3.2; authors' page: pass_rate).")
    n_problems: int = Field(1_500, gt=0, description="Problems that are asked, at most.")
    temperature: float = Field(1.0, gt=0, description="Official repo: 1.0.")
    top_p: float = Field(1.0, gt=0, le=1, description="Official repo: 0.9; 1 samples what is trained.")
    max_new_tokens: int = Field(96, gt=0, description="Longest response. Tokens.")
    seed: int = Field(0, description="Of the samples.")


class PromptsConfig(dg.Config):
    """`oreal/prompts`: the queries that reinforcement learning asks."""

    max_pass_rate: float = Field(0.8, ge=0, le=1, description="Easier questions are dropped (paper, §3.2: 0 to 0.8).")
    bounds: list[float] = Field([0.0, 0.2, 0.4, 0.6], description="Lower bounds of the difficulty bins.")
    times: list[int] = Field([6, 4, 4, 2], description="How often a question of each bin is asked (official repo).")
    min_informative: float = Field(0.4, ge=0, le=1, description="Least share of problems with 0 < p < 1, else stop.")


class TokenRewardConfig(dg.Config):
    """`oreal/token_reward_model`: its warm-up on the start's answers, before the policy moves."""

    steps: int = Field(
        250, gt=0, description="Updates. Official: 10 of 1,024 answers; this small model needs more to beat the base."
    )
    batch_trajectories: int = Field(64, gt=0, description="Answers per update.")
    peak_lr: float = Field(5e-4, gt=0, description="Learning rate. Paper: 2e-6 for 7B.")
    warmup_steps: int = Field(10, ge=0, description="Steps with rising learning rate (official repo).")
    heldout_share: float = Field(0.15, gt=0, lt=1, description="Problems whose answers only test it.")
    min_mean_weight: float = Field(
        0.02, ge=0, description="Least mean token weight: with weights near zero the policy silently does not learn."
    )


class CreditConfig(dg.Config):
    """`oreal/token_credit`."""

    problems_per_group: int = Field(10, gt=0, description="Problems whose tokens make one measurement; our default.")


class EnhanceConfig(dg.Config):
    """`oreal/enhanced/<choice>`: more fine-tuning of the start (paper, §3.3; its numbers are not known)."""

    n_rows: int = Field(1_500, gt=0, description="Solved problems that are added.")
    steps: int = Field(60, gt=0, description="Steps over them.")
    batch_rows: int = Field(16, gt=0, description="Rows per step.")
    peak_lr: float = Field(5e-4, gt=0, description="Learning rate: a quarter of the start's.")
    n_skills: int = Field(1, gt=0, description="Skills that fail most, which the matched rows are of.")


class PolicyConfig(dg.Config):
    """`oreal/policy/<arm>`."""

    iterations: int = Field(12, gt=0, description="Rollouts, scores and update, so often. Paper: 80 of one update.")
    prompts_per_iteration: int = Field(192, gt=0, description="Questions (paper: 64).")
    n_samples: int = Field(8, gt=1, description="Rollouts per question, K (paper: 16).")
    updates: int = Field(4, gt=0, description="Policy updates per iteration (paper: 1).")
    temperature: float = Field(1.0, gt=0, description="Official repo: 1.0.")
    top_p: float = Field(1.0, gt=0, le=1, description="Official repo: 0.9; 1 samples what is trained.")
    max_new_tokens: int = Field(96, gt=0, description="Longest response (official repo: 14,000). Tokens.")
    peak_lr: float = Field(1e-4, gt=0, description="Policy's learning rate, cosine to a fifth. Paper: 5e-7 for 7B.")
    reward_lr: float = Field(2e-4, gt=0, description="Token reward model's. Paper: 2e-6 for 7B.")
    warmup_steps: int = Field(4, ge=0, description="Steps with rising learning rate (official repo: 10).")
    weight_decay: float = Field(0.01, ge=0, description="AdamW (official repo).")
    kl_coefficient: float = Field(
        0.01, ge=0, description="Beta. Of KL to the frozen start, as in the official repo; the paper writes pi_old."
    )
    weight_threshold: float = Field(0.5, ge=0, lt=1, description="Tau of the token weights (official repo: 0.5).")
    rescale_weights: bool = Field(
        True,
        description="Divide token weights by their mean over the right (wrong) answers of an update, so that a weak "
        "reward model slows nothing down; official: False. Our default.",
    )
    reward_rows: Literal["kept", "all"] = Field(
        "all", description="What the token reward model is trained on: kept answers (official), or all; our default."
    )
    evaluate_every: int = Field(3, gt=0, description="Iterations between two looks at the policy (paper: 10).")
    n_valid: int = Field(200, gt=0, description="Validation problems of a look; the best policy is kept (paper).")
    largest_drift: float = Field(
        0.05, gt=0, description="Nats that sampler's and trainer's logprobs may differ in the mean; our default."
    )
    min_ended: float = Field(0.5, ge=0, le=1, description="Least share of answers that end themselves; our default.")
    seed: int = Field(0, description="Added to the partition's seed.")


class EvaluateConfig(dg.Config):
    """`oreal/scores/<arm>`."""

    n_problems: int = Field(600, gt=0, description="Test problems.")
    n_samples: int = Field(8, gt=1, description="Samples per problem for pass@k, beside the greedy answer.")
    max_new_tokens: int = Field(96, gt=0, description="Longest response. Tokens.")
    seed: int = Field(0, description="Of the samples.")


class ChampionConfig(dg.Config):
    """`oreal/sft_champion` and `oreal/champion`."""

    n_problems: int = Field(600, gt=0, description="Test problems that a registered policy is measured on again.")
    max_new_tokens: int = Field(96, gt=0, description="Longest response. Tokens.")
    least_gain: float = Field(
        0.0, ge=-1, le=1,
        description="`oreal/champion` moves when the 95 % interval of the accuracy gained over the start lies above.",
    )  # fmt: skip


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    sft: SftConfig
    rollouts: RolloutsConfig
    prompts: PromptsConfig
    token_reward: TokenRewardConfig
    credit: CreditConfig
    enhance: EnhanceConfig
    policy: PolicyConfig
    evaluate: EvaluateConfig
    champion: ChampionConfig


TINY = Config(
    SftConfig(),
    RolloutsConfig(),
    PromptsConfig(),
    TokenRewardConfig(),
    CreditConfig(),
    EnhanceConfig(),
    PolicyConfig(),
    EvaluateConfig(),
    ChampionConfig(),
)
PAPER = Config(
    sft=SftConfig(max_length=16_384, sequence_length=16_384, max_new_tokens=14_000),
    rollouts=RolloutsConfig(n_problems=1_000_000, top_p=0.9, max_new_tokens=14_000),
    prompts=PromptsConfig(),
    token_reward=TokenRewardConfig(steps=10, batch_trajectories=1024, peak_lr=2e-6),
    credit=CreditConfig(),
    enhance=EnhanceConfig(),
    policy=PolicyConfig(
        iterations=80,
        prompts_per_iteration=64,
        n_samples=16,
        updates=1,
        top_p=0.9,
        max_new_tokens=14_000,
        peak_lr=5e-7,
        reward_lr=2e-6,
        warmup_steps=10,
        rescale_weights=False,
        reward_rows="kept",
        evaluate_every=10,
    ),
    evaluate=EvaluateConfig(max_new_tokens=14_000),
    champion=ChampionConfig(max_new_tokens=14_000),
)
