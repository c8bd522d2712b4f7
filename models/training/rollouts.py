"""Rollouts as a source of batches: the actor answers prompts, and every update of an iteration learns from them.

An iteration's rollouts are a pure function of the weights, the seed and the iteration, so that a run resumed between
two iterations goes on bit for bit.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from models.architecture.decoder import Decoder
from models.training.checkpoint import weights_digest
from models.training.experience import RolloutPlan, roll_out
from models.training.packing import PackedBatch, PackedStream
from models.training.ppo_objective import PPOModels
from models.training.prompts import Prompt, PromptOrder, derived_seed, fitting
from models.training.rewards import Reward
from models.training.rollout_batch import RolloutBatch

logger = logging.getLogger(__name__)

# Keeps the minibatches' seeds apart from those of the sampling noise.
MINIBATCHES = 2


class RolloutSource:
    """Batches of rollouts for `ppo_objective` over `PPOModels`.

    `reward` scores answers and `reference` is the frozen policy, both in place on the device they are to use;
    `reward_identity` names the reward for the run's identity. `max_length` bounds prompt and response together
    (default: what the reference was trained for); prompts that leave no room are listed in `dropped`. `pretrain` gives
    the rows mixed into every update that trains the actor; its volume is to be about half of the rollouts' tokens
    (InternLM2, section 4.2.3), which the reported `pretrain_share` tells.
    """

    batch_shape = None

    def __init__(
        self,
        prompts: Sequence[Prompt],
        plan: RolloutPlan,
        reward: Reward,
        reward_identity: str,
        reference: Decoder,
        pretrain: PackedStream | None = None,
        max_length: int | None = None,
    ) -> None:
        # What the sampler takes: with RoPE scaling a model reads further than it was trained for, but no cache does.
        trained_length = reference.config.original_max_length or reference.config.max_length
        longest = min(trained_length, max_length or trained_length)
        self.prompts, self.dropped = fitting(prompts, plan.max_new_tokens, longest)
        for prompt in self.dropped:
            logger.warning("prompt %s is never asked: %s", prompt.id, prompt.reason)
        self.plan = plan
        self.update_period = plan.epochs * plan.minibatches
        self._reward, self._reward_identity = reward, reward_identity
        self._reference = reference
        self._pretrain = pretrain
        self._order = PromptOrder(len(self.prompts), plan.prompts_per_iteration, plan.seed)
        self._held: tuple[int, RolloutBatch] | None = None

    def identity(self) -> dict[str, object]:
        """What the rollouts depend on beside the trained weights and the digest of prompts and pretrain tokens."""
        facts: dict[str, object] = {f"rollouts.{name}": value for name, value in asdict(self.plan).items()}
        facts["rollouts.stop_ids"] = list(self.plan.stop_ids)
        del facts["rollouts.largest_logprob_gap"]
        return facts | {"reward": self._reward_identity, "reference": weights_digest(self._reference)}

    def batch(self, step: int, model: nn.Module) -> RolloutBatch:
        """The rollouts of one update. The first of an iteration samples them with `model`, which must be `PPOModels`.

        Raises ValueError for a later update whose iteration was not begun here: the weights that would have to sample
        it are gone.
        """
        if not isinstance(model, PPOModels) or model.actor is self._reference:
            raise ValueError("rollouts are made by PPOModels whose actor is another object than the frozen reference")
        iteration, update = divmod(step, self.update_period)
        if update == 0:
            # Always anew: whoever asked for this iteration before may have had other weights.
            self._held = (iteration, self._roll_out(model, iteration))
        if self._held is None or self._held[0] != iteration:
            raise ValueError(f"step {step} is inside iteration {iteration}: ask for its first step before it")
        epoch, minibatch = divmod(update, self.plan.minibatches)
        seed = derived_seed(self.plan.seed, MINIBATCHES, iteration, epoch)
        order = torch.from_numpy(np.random.default_rng(seed).permutation(self.plan.prompts_per_iteration))
        rows = self._held[1].select(order.chunk(self.plan.minibatches)[minibatch])
        return replace(rows, pretrain=self._pretrain_rows(step))

    def heaviest_batch(self, steps: int, model: PPOModels) -> RolloutBatch:
        """An update in the shape that needs the most memory: the longest prompt, and responses that never stop."""
        rows = self.plan.prompts_per_iteration // self.plan.minibatches
        longest = max(self.prompts, key=lambda prompt: len(prompt.tokens))
        length = len(longest.tokens) + self.plan.max_new_tokens
        mask = (torch.arange(length) >= len(longest.tokens)).expand(rows, -1)
        zeros = torch.zeros(rows, length)
        return RolloutBatch(
            tokens=torch.tensor([*longest.tokens] + [0] * self.plan.max_new_tokens).expand(rows, -1),
            response_mask=mask,
            sampler_logprobs=zeros,
            logprobs=zeros,
            reference_logprobs=zeros,
            entropies=zeros,
            advantages=zeros,
            returns=zeros,
            lengths=torch.full((rows,), length),
            scores=torch.zeros(rows),
            stopped=torch.zeros(rows, dtype=torch.bool),
            ids=(longest.id,) * rows,
            pretrain=self._pretrain.batch(0) if self._pretrain else None,
        ).to(model.actor.output.weight.device)

    def require(self, steps: int) -> None:
        """Raises ValueError for a part of an iteration, and StreamTooShort when the pretrain rows end before it."""
        if steps % self.update_period:
            raise ValueError(f"{steps} steps are not whole iterations of {self.update_period} updates")
        if self._pretrain and steps > self._first_actor_step:
            self._pretrain.require(steps - self._first_actor_step)

    def row_ids(self, batch: RolloutBatch) -> list[str]:
        """The ids of the batch's prompts."""
        return list(batch.ids)

    @property
    def _first_actor_step(self) -> int:
        return self.plan.critic_warmup_iterations * self.update_period

    def _pretrain_rows(self, step: int) -> PackedBatch | None:
        if self._pretrain is None or step < self._first_actor_step:
            return None
        return self._pretrain.batch(step - self._first_actor_step)

    def _roll_out(self, models: PPOModels, iteration: int) -> RolloutBatch:
        prompts = [self.prompts[index] for index in self._order.indices(iteration)]
        return roll_out(models, self._reference, self._reward, prompts, self.plan, iteration)
