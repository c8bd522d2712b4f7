"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) as InternLM2 uses it for RLHF: the arithmetic.

All tensors are [B, T] with a boolean mask of the response tokens; what stands outside the mask is never read. InternLM2
(arXiv 2403.17297, section 4.2.3) clips no values and normalises no advantages.
"""

import torch
from torch import Tensor


def token_rewards(
    score: Tensor, actor_logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor, kl_coefficient: float = 0.01
) -> Tensor:
    """The reward of each response token: -kl_coefficient * (actor - reference logprob), plus `score` [B] at the last.

    0.01 is InternLM2's coefficient (section 4.2.3). Raises ValueError for a row without a response token.
    """
    if not mask.any(dim=1).all():
        raise ValueError("a response without tokens has no place for its score")
    rewards = torch.where(mask, -kl_coefficient * (actor_logprobs - reference_logprobs), 0.0)
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1, keepdim=True)
    return rewards.scatter_add(1, last, score[:, None].to(rewards.dtype))


def generalised_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.99
) -> tuple[Tensor, Tensor]:
    """Advantages and returns of every response token, 0 outside the mask.

    `values` are the critic's before each token; a response is contiguous and ends its episode, whether it stopped or
    was cut. A_t = sum over l of (gamma * lam)^l * (r_{t+l} + gamma * V_{t+l+1} - V_{t+l}), the generalised advantage
    estimator (Schulman et al. 2015, arXiv 1506.02438, equation 16); the return is A_t + V_t. lam 0.99 is InternLM2's
    (section 4.2.3), gamma 1 our default (not found).
    """
    rewards, values = torch.where(mask, rewards, 0.0), torch.where(mask, values, 0.0)
    advantages = torch.zeros_like(rewards)
    next_value = next_advantage = torch.zeros_like(rewards[:, 0])
    for place in range(rewards.shape[1] - 1, -1, -1):
        surprise = rewards[:, place] + gamma * next_value - values[:, place]
        next_advantage = torch.where(mask[:, place], surprise + gamma * lam * next_advantage, 0.0)
        next_value = values[:, place]
        advantages[:, place] = next_advantage
    return advantages, advantages + values


def policy_sum(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip_range: float = 0.2
) -> Tensor:
    """The clipped surrogate to be minimised, summed over response tokens: -min(ratio * A, clip(ratio) * A).

    The ratio of probabilities is clipped to 1 +- clip_range (arXiv 1707.06347, equation 7; 0.2 is its value, InternLM2
    gives none).
    """
    advantage = advantages[mask]
    ratio = (logprobs[mask] - old_logprobs[mask]).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage).sum()


def value_sum(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Squared error of the values, summed over response tokens; no value clipping."""
    return (values[mask] - returns[mask]).square().sum()


def clipped_tokens(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor, clip_range: float = 0.2) -> Tensor:
    """How many response tokens have a ratio outside 1 +- clip_range."""
    ratio = (logprobs[mask] - old_logprobs[mask]).exp()
    return ((ratio - 1).abs() > clip_range).float().sum()


def kl_sums(logprobs: Tensor, other_logprobs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two estimates, in nats, of KL(sampled || other) from tokens of the sampled distribution, summed over tokens.

    k1 = log p - log q has no bias and is negative at times; k3 = q / p - 1 - log(q / p) is never negative and varies
    less (Schulman 2020, "Approximating KL divergence"). Both are of the whole distributions: where top-p cut the
    sampling they are estimates for the likelier part.
    """
    log_ratio = other_logprobs[mask] - logprobs[mask]
    return -log_ratio.sum(), (log_ratio.exp() - 1 - log_ratio).sum()
