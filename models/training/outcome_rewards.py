"""From outcomes to weights: what each sampled answer, and each of its tokens, counts in OREAL and its baselines.

Paper: arXiv 2502.06781; code: InternLM/OREAL, train_oreal.py. Arrays of one prompt hold its K answers.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def rloo_advantages(rewards: Floats) -> Floats:
    """Each answer's reward less the mean of the prompt's others. Raises ValueError for fewer than 2 answers.

    For rewards of +1 and -1 and a share p of right ones: 2K(1-p)/(K-1) of a right answer, -2Kp/(K-1) of a wrong one.
    """
    if len(rewards) < 2:
        raise ValueError(f"a leave-one-out baseline needs 2 answers per prompt, not {len(rewards)}; sample more")
    return rewards - (rewards.sum() - rewards) / (len(rewards) - 1)


def grpo_advantages(rewards: Floats) -> Floats:
    """(reward - mean) / (std + 1e-8) over the prompt's answers, std with K as divisor."""
    return (rewards - rewards.mean()) / (rewards.std() + 1e-8)


def one_minus_p(right: Bools) -> Floats:
    """Weights by the paper's theory (section 2.3): 1 of a right answer, 1 - p of a wrong one, p the share of right.

    Enumeration gives the mean gradients of right and wrong answers the factors p and 1 - p; the paper's has no p.
    """
    return np.where(right, 1.0, 1.0 - right.mean())


def rloo_weights(right: Bools) -> Floats:
    """Sizes of the RLOO advantages of rewards +1 and -1: the code so weighs right answers by 1 - p, wrong ones by p."""
    return np.abs(rloo_advantages(_signed(right)))


def grpo_weights(right: Bools) -> Floats:
    """Sizes of the GRPO advantages; rewards of +1 and -1, or 1 and 0, give the same."""
    return np.abs(grpo_advantages(_signed(right)))


def reward_weights(right: Bools) -> Floats:
    """The reward itself, 1 or 0: REINFORCE without a baseline, and cloning of right answers alone."""
    return right.astype(np.float64)


def _signed(right: Bools) -> Floats:
    return np.where(right, 1.0, -1.0)


# Weights >= 0 of a prompt's answers from which of them are right; the loss takes the sign from the outcome.
SHAPINGS: Mapping[str, Callable[[Bools], Floats]] = {
    "one_minus_p": one_minus_p,
    "rloo": rloo_weights,
    "grpo": grpo_weights,
    "reward": reward_weights,
}


def best_of_n_law(probabilities: Floats, right: Bools, n: int) -> Floats:
    """The law of the answer that best-of-n picks (section 2.3): of n drawn ones a right one if any, else a wrong one.

    `probabilities` are the policy's over all answers, `right` which of them are; ties are broken at random. With p the
    probability of a right answer, pi(s) is multiplied by (1 - (1 - p)^n) / p where s is right, by (1 - p)^(n - 1)
    where it is wrong. Raises ValueError unless both kinds of answers can come.
    """
    p = float(probabilities[right].sum())
    if p == 0 or not probabilities[~right].any():
        raise ValueError(f"right and wrong answers must both have a probability above 0, but p is {p}")
    return probabilities * np.where(right, (1 - (1 - p) ** n) / p, (1 - p) ** (n - 1))


def token_weights(scores: Floats, right: bool, threshold: float = 0.5) -> Floats:
    """The weight omega, in 0 to 1, of each token of one answer, from the token reward model's scores of them.

    c_t = sigmoid of the mean score of the first t tokens (the code; the paper's equation 10 has the token's own score).
    Of a right answer clip((c - threshold) / (1 - threshold), 0, 1), of a wrong one the same of 1 - c. With a threshold
    of 0.5, the code's, these are max(2c - 1, 0) and max(1 - 2c, 0), as in equation 10. Raises ValueError for a
    threshold outside 0 to 1.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be at least 0 and below 1, not {threshold}")
    running = np.cumsum(scores, dtype=np.float64) / np.arange(1, len(scores) + 1)
    # tanh never overflows: sigmoid(x) = (1 + tanh(x / 2)) / 2.
    confidence = 0.5 * (1 + np.tanh((running if right else -running) / 2))
    return np.clip((confidence - threshold) / (1 - threshold), 0.0, 1.0)
