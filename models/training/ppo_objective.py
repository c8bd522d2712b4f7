"""What PPO minimises over a batch of rollouts: policy, value and the mixed-in next-token loss."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import ValueModel
from models.training.objectives import Objective, next_token_sums
from models.training.ppo import clipped_tokens, kl_sums, policy_sum, value_sum
from models.training.response_scores import response_logprobs, values_before
from models.training.rollout_batch import RolloutBatch


@dataclass(frozen=True)
class PPOConfig:
    """Weights of the PPO loss. Raises ValueError for values outside their range.

    clip_range: how far a token's probability may move per iteration before its gradient ends (not found: the PPO
    paper's). value_coefficient: of the squared value error (not found: our default; actor and critic share no
    weights). pretrain_coefficient: of the mixed-in next-token loss (InternLM2, arXiv 2403.17297, section 4.2.3).
    """

    clip_range: float = 0.2
    value_coefficient: float = 1.0
    pretrain_coefficient: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")


class PPOModels(nn.Module):
    """The two models PPO trains; they share no weights.

    `critic_scale` is the critic's learning rate over the actor's: 5e-6 over 1e-6 (InternLM2, section 4.2.3).
    """

    def __init__(self, actor: Decoder, critic: ValueModel, critic_scale: float = 5.0) -> None:
        super().__init__()
        self.actor = actor
        self.critic = critic
        self.critic_scale = critic_scale

    @property
    def config(self) -> DecoderConfig:
        """The actor's shape."""
        return self.actor.config

    def learning_rate_scale(self, name: str) -> float:
        """What the plan's learning rate is multiplied by for the parameter of this name."""
        return self.critic_scale if name.startswith("critic.") else 1.0


def ppo_objective(config: PPOConfig | None = None, identity: Mapping[str, object] | None = None) -> Objective:
    """PPO as an objective of `PPOModels` over a `RolloutBatch`.

    `identity` is the source's (`RolloutSource.identity()`): what the rollouts depend on beside the trained weights.
    While `train_actor` is False the actor's terms are absent, so that its parameters get no gradient at all, and the
    optimizer neither moves nor decays them.

    Loss terms: `policy` and `value` per response token, `pretrain` per trained pretrain token. Reported: `score`,
    `stopped` and `response_length` per answer, and per response token `kl_k1` and `kl_k3` of the sampling actor from
    the reference, `update_kl` (k3) of it from the actor as updated, `clip_fraction`, `entropy` in nats, and
    `logprob_gap`, by how much the sampler and the trainer disagree; `pretrain_share` is pretrain tokens per token of
    prompts and responses.
    """
    config = config or PPOConfig()

    def sums(models: PPOModels, batch: RolloutBatch) -> dict[str, Tensor]:
        mask = batch.response_mask
        found = {"value": value_sum(values_before(models.critic, batch.tokens), batch.returns, mask)}
        if batch.train_actor:
            logprobs = response_logprobs(models.actor, batch.tokens, mask)
            found["policy"] = policy_sum(logprobs, batch.logprobs, batch.advantages, mask, config.clip_range)
            found["clip_fraction"] = clipped_tokens(logprobs.detach(), batch.logprobs, mask, config.clip_range)
            found["update_kl"] = kl_sums(batch.logprobs, logprobs.detach(), mask)[1]
            if batch.pretrain is not None:
                found["pretrain"] = next_token_sums(models.actor, batch.pretrain)["loss"]
                found["pretrain_share"] = torch.tensor(float(batch.pretrain.tokens.numel()), device=mask.device)
        return found | _reported(batch)

    coefficients = {"policy": 1.0, "value": config.value_coefficient, "pretrain": config.pretrain_coefficient}
    facts = {f"ppo.{name}": value for name, value in asdict(config).items()} | dict(identity or {})
    return Objective("ppo", sums, counts, coefficients, facts)


def counts(batch: RolloutBatch) -> dict[str, int]:
    """What each of the objective's sums is divided by: 0 for the terms this batch has not."""
    tokens, answers = batch.response_tokens, len(batch.tokens)
    actor_tokens = tokens if batch.train_actor else 0
    mixed_in = batch.pretrain if batch.train_actor else None
    return (
        dict.fromkeys(("value", "kl_k1", "kl_k3", "entropy", "logprob_gap"), tokens)
        | dict.fromkeys(("policy", "clip_fraction", "update_kl"), actor_tokens)
        | dict.fromkeys(("score", "stopped", "response_length"), answers)
        | {"pretrain": mixed_in.trained_tokens if mixed_in else 0}
        | {"pretrain_share": int(batch.lengths.sum()) if mixed_in else 0}
    )


def _reported(batch: RolloutBatch) -> dict[str, Tensor]:
    """The sums that depend on the rollouts alone."""
    mask = batch.response_mask
    k1, k3 = kl_sums(batch.logprobs, batch.reference_logprobs, mask)
    return {
        "kl_k1": k1,
        "kl_k3": k3,
        "entropy": batch.entropies[mask].sum(),
        "logprob_gap": (batch.sampler_logprobs - batch.logprobs)[mask].abs().sum(),
        "score": batch.scores.sum(),
        "stopped": batch.stopped.float().sum(),
        "response_length": mask.float().sum(),
    }
