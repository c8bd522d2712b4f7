"""Configuration of ChainArith: presets TINY (laptop) and PAPER (the task's larger default size; it has no paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import dagster as dg
from pydantic import Field

from assets.worlds.chain_arith.problems import Rule


class ProblemsConfig(dg.Config):
    """`worlds/chain_arith`. No paper: all values are our defaults, those of TINY from a feasibility study."""

    modulus: int = Field(10, ge=2, le=10**6, description="All values lie in [0, modulus).")
    min_operations: int = Field(2, ge=1, description="Operations of the shortest chain.")
    max_operations: int = Field(6, ge=1, description="Operations of the longest chain; lengths are drawn uniformly.")
    order: Literal["left_to_right", "precedence"] = Field(
        "left_to_right",
        description="Which operation is taken next: the first, or the first product while there is one. Generator and "
        "step checker share it.",
    )
    skill_share: float = Field(
        0.6, ge=0, le=1, description="Probability that an operator is the problem's skill; else it is any of + - *."
    )
    n_sft: int = Field(20_000, ge=0, description="Problems to fine-tune on with their solutions.")
    n_rl: int = Field(4_000, ge=0, description="Problems of reinforcement learning (OREAL has 4,214 prompts).")
    n_search: int = Field(400, ge=0, description="Problems of tree search.")
    n_valid: int = Field(300, ge=0, description="Problems by which settings and checkpoints are chosen.")
    n_test: int = Field(600, ge=0, description="Problems that claims are measured on.")
    seed: int = Field(0, description="Of the draws and of the hash that splits them.")

    @property
    def rule(self) -> Rule:
        return Rule(self.modulus, self.order)

    @property
    def sizes(self) -> dict[str, int]:
        """Problems wanted of each split."""
        return {
            "sft": self.n_sft, "rl": self.n_rl, "search": self.n_search, "valid": self.n_valid, "test": self.n_test
        }  # fmt: skip


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    problems: ProblemsConfig


TINY = Config(ProblemsConfig())
PAPER = Config(
    ProblemsConfig(
        modulus=100, max_operations=8, n_sft=200_000, n_rl=20_000, n_search=4_000, n_valid=1_000, n_test=3_000
    )
)
