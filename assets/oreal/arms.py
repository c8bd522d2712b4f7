"""The arms: OREAL, the rungs of its ladder, and its baselines. No I/O.

All arms of a seed start from one policy and have the same prompts, rollouts per prompt, updates and learning rates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from models.training.outcome_objective import OutcomeLoss

Shaping = Literal["one_minus_p", "rloo", "grpo", "reward"]


@dataclass(frozen=True)
class Arm:
    """What tells one arm from another.

    `shaping`: the weights of a prompt's answers (`models.training.outcome_rewards`). `form`: of a wrong answer's loss.
    `normalise`: whether right and wrong answers are averaged apart. `keeps`: one right and one wrong answer per prompt
    (official repo: filter_trajectory), or all. `token_weights`: whether a token reward model weighs tokens.
    `on_policy`: answers come from the policy as it is, or from the one it started from (rejection sampling). `start`:
    the checkpoint it starts from.
    """

    shaping: Shaping
    form: Literal["log", "ratio"]
    normalise: Literal["by_sign", "together"]
    negative_coefficient: float
    keeps: Literal["one_each", "all"]
    token_weights: bool = False
    on_policy: bool = True
    start: str = "oreal/sft_policy"

    def loss(self, kl_coefficient: float) -> OutcomeLoss:
        from models.training.outcome_objective import OutcomeLoss

        return OutcomeLoss(self.negative_coefficient, self.form, self.normalise, kl_coefficient)


# The ladder of the paper's ablation is reinforce, shaping, cloning, oreal. Its "+ reward shaping" is the GRPO-like
# setting (the authors on OpenReview); OREAL itself shapes only negatives.
ARMS: dict[str, Arm] = {
    "rft": Arm("reward", "log", "together", 0.0, "all", on_policy=False),
    "reinforce": Arm("reward", "log", "together", 0.0, "all"),
    "shaping": Arm("grpo", "ratio", "together", 1.0, "all"),
    # Theory: wrong answers by 1 - p, right ones by 1 (paper, §2.3), with the code's averages and its eta of 0.5.
    "cloning": Arm("one_minus_p", "log", "by_sign", 0.5, "one_each"),
    "oreal": Arm("one_minus_p", "log", "by_sign", 0.5, "one_each", token_weights=True),
    # The released code: RLOO advantages weigh right answers by 1 - p and wrong ones by p, against the theory.
    "oreal_repo": Arm("rloo", "ratio", "by_sign", 0.5, "one_each", token_weights=True),
}
# Skill enhancement (paper, §3.3): the start is fine-tuned on more problems of the skills that an earlier run keeps
# failing, or on as many problems drawn at random.
CHOICES = ("matched", "random")
ARMS |= {choice: replace(ARMS["cloning"], start=f"oreal/enhanced/{choice}") for choice in CHOICES}
QUICK_ARMS = ("oreal",)
HELD_EQUAL = "start, prompts, rollouts per prompt, updates, learning rates, test problems"
