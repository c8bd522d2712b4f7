"""Configuration of FastMCTS: presets TINY (laptop) and PAPER (values of secondary accounts of the paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

from assets.fastmcts.tree import Rule

SEEDS = dg.StaticPartitionsDefinition([str(seed) for seed in range(10)])


class GenerateConfig(dg.Config):
    """How the generator is asked."""

    max_tokens: int = Field(96, gt=0, description="Longest answer; the longest right one of ChainArith has fewer.")
    temperature: float = Field(1.0, gt=0, description="Of the generator (secondary account).")
    top_p: float = Field(1.0, gt=0, le=1, description="Not found; our default.")


class ScreenConfig(GenerateConfig):
    """`fastmcts/problems`: which problems are worth searching."""

    n_samples: int = Field(5, gt=0, description="Answers per problem; those always right are dropped (secondary).")
    n_problems: int = Field(0, ge=0, description="At most so many, those with the smallest ids; 0 takes all.")
    budget_solutions: float = Field(
        16.0, gt=0, description="Budget of a problem, in mean lengths of its screening answers (16 in simulation)."
    )


class SearchConfig(GenerateConfig):
    """`fastmcts/simulations`, `fastmcts/rejection`, `fastmcts/vanilla`: one budget for all three."""

    root_degree: int = Field(3, gt=0, description="Branches of the root (secondary account).")
    degree: int = Field(2, gt=0, description="Branches of any other node (secondary account).")
    c: float = Field(1.0, ge=0, description="Exploration of UCT; not found, our default.")
    low: float = Field(0.2, ge=0, le=1, description="Scores up to this stay; not found, our default.")
    high: float = Field(0.8, ge=0, le=1, description="Scores from this on, below 1, stay; not found, our default.")
    stay_low_inclusive_zero: bool = Field(
        True,
        description="A score of 0 stays too. The summary's interval is (0, low]: in simulation it loses 14 % of the "
        "problems. Our default.",
    )
    dynamic: Literal["parent", "child"] = Field(
        "parent", description="Whose score scales c: the node we choose at, or the candidate; ambiguous, our default."
    )
    iterations: int = Field(0, ge=0, description="Simulations per tree instead of a token budget; 0: the budget.")
    step_marker: Literal["\n", "Step"] = Field(
        "\n", description="A step is a line, or begins with a line such as `Step 3:` (secondary account)."
    )
    n_shots: int = Field(
        0, ge=0, description="Solved examples drawn anew for every simulation; none for a fine-tuned policy."
    )

    @property
    def rule(self) -> Rule:
        return Rule(
            self.root_degree, self.degree, self.c, self.low, self.high,
            stay_low_inclusive_zero=self.stay_low_inclusive_zero, dynamic=self.dynamic,
        )  # fmt: skip


class AblationConfig(SearchConfig):
    """`fastmcts/ablations`."""

    iterations: int = Field(25, gt=0, description="Trajectories per problem (secondary account's ablation).")
    n_problems: int = Field(300, gt=0, description="At most so many problems, those with the smallest ids (secondary).")


class PathsConfig(dg.Config):
    """`fastmcts/sft_rows`."""

    paths_per_problem: int = Field(16, gt=0, description="Right paths kept of a problem: 5 or 16 (secondary account).")


class PreferencesConfig(dg.Config):
    """`fastmcts/preferences`."""

    level: Literal["step", "branch"] = Field(
        "branch", description="What is compared: one step, or the branch to its answer (Branch-DPO)."
    )
    min_visits: int = Field(2, gt=0, description="Visits without a right answer before a node is rejected; ours.")


class TrainConfig(dg.Config):
    """What both kinds of training have in common; every arm takes the same steps of the same size."""

    steps: int = Field(gt=0, description="Updates, of every arm alike.")
    sequence_length: int = Field(160, gt=1, description="Tokens per row; longer examples are dropped, and counted.")
    batch_rows: int = Field(12, gt=0, description="Rows per step.")
    peak_lr: float = Field(gt=0, description="Peak learning rate.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps with rising learning rate; ours.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW; our default.")
    checkpoint_every: int = Field(200, gt=0, description="Steps between trainer states.")


class LearnConfig(TrainConfig):
    """`fastmcts/checkpoint/<arm>` of fine-tuning."""

    steps: int = Field(60, gt=0, description="Updates; the paper has 3 epochs, whatever an arm's size. Ours are equal.")
    peak_lr: float = Field(5e-4, gt=0, description="Peak learning rate; our default for small models.")


class PreferConfig(TrainConfig):
    """`fastmcts/checkpoint/<arm>` of DPO."""

    steps: int = Field(30, gt=0, description="Updates; our default.")
    peak_lr: float = Field(2e-5, gt=0, description="Peak learning rate; ours: 1e-4 loses accuracy in validation.")
    beta: float = Field(0.4, gt=0, description="How strongly the policy is held to its start (secondary account).")


class EvaluateConfig(dg.Config):
    """`fastmcts/scores/<arm>`: greedy answers to the test problems."""

    n_problems: int = Field(0, ge=0, description="At most so many, those with the smallest ids; 0 takes all.")
    max_tokens: int = Field(96, gt=0, description="Longest answer.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    screen: ScreenConfig
    search: SearchConfig
    ablation: AblationConfig
    paths: PathsConfig
    preferences: PreferencesConfig
    learn: LearnConfig
    prefer: PreferConfig
    evaluate: EvaluateConfig


TINY = Config(
    ScreenConfig(),
    SearchConfig(),
    AblationConfig(),
    PathsConfig(),
    PreferencesConfig(),
    LearnConfig(),
    PreferConfig(),
    EvaluateConfig(),
)
# All from secondary accounts; the paper's own text was not at hand. Trees of 16 iterations are compared with as many
# independent answers as cost the same tokens, which is what the budget of 16 solutions says.
_PAPER_LENGTH = 4096
PAPER = Config(
    screen=ScreenConfig(max_tokens=_PAPER_LENGTH),
    search=SearchConfig(max_tokens=_PAPER_LENGTH, step_marker="Step", n_shots=2),
    ablation=AblationConfig(max_tokens=_PAPER_LENGTH, step_marker="Step", n_shots=2),
    paths=PathsConfig(),
    preferences=PreferencesConfig(),
    # 288 thousand rows in batches of 32, three epochs, are 27,000 updates; 152 thousand pairs in batches of 16, 28,500.
    learn=LearnConfig(steps=27_000, sequence_length=_PAPER_LENGTH, batch_rows=32, peak_lr=1e-5, checkpoint_every=500),
    prefer=PreferConfig(
        steps=28_500, sequence_length=2 * _PAPER_LENGTH, batch_rows=16, peak_lr=1e-6, checkpoint_every=500
    ),
    evaluate=EvaluateConfig(max_tokens=_PAPER_LENGTH),
)
