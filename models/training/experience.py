"""One iteration's experience: answers sampled from the actor, scored, and weighed against the critic.

Token ids all the way: what was sampled is what is scored and trained on, never tokenised again.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.architecture.decoder import Decoder
from models.inference.sampling import sample
from models.training.plan import TrainingFailed
from models.training.ppo import generalised_advantages, token_rewards
from models.training.ppo_objective import PPOModels
from models.training.prompts import Prompt, derived_seed
from models.training.response_scores import (
    predicting_states,
    response_logprobs,
    token_entropies,
    token_logprobs,
    values_before,
)
from models.training.rewards import Answer, Reward
from models.training.rollout_batch import RolloutBatch, padded

logger = logging.getLogger(__name__)

# Keeps the noise's seeds apart from those of the minibatches.
SAMPLING = 1


@dataclass(frozen=True)
class RolloutPlan:
    """Every number that determines the rollouts. Raises ValueError for a plan that cannot be carried out.

    Sampling is at temperature 1, where the policy that answers is the one that is trained. Values are InternLM2's
    (arXiv 2403.17297, section 4.2.3) where it gives them.

    prompts_per_iteration: answered per iteration, once each (about 500 in the paper: 200k queries in 400 iterations).
    max_new_tokens: longest response. stop_ids: tokens that end one.
    minibatches, epochs: an iteration is `epochs` passes over its answers in `minibatches` updates each (not found).
    top_p: see `sample`. kl_coefficient: see `token_rewards`. gamma, lam: see `generalised_advantages`.
    critic_warmup_iterations: the first iterations, in which only the critic learns.
    seed: of prompt order, sampling noise and minibatches.
    forward_rows: answers computed at a time when nothing is trained; bounds memory, and orders sums.
    largest_logprob_gap: nats a token's logprob may differ between sampler and trainer before a warning (our default).
    """

    prompts_per_iteration: int
    max_new_tokens: int
    stop_ids: tuple[int, ...]
    minibatches: int = 1
    epochs: int = 1
    top_p: float = 0.9
    kl_coefficient: float = 0.01
    gamma: float = 1.0
    lam: float = 0.99
    critic_warmup_iterations: int = 50
    seed: int = 0
    forward_rows: int = 64
    largest_logprob_gap: float = 0.05

    def __post_init__(self) -> None:
        for name in ("prompts_per_iteration", "max_new_tokens", "minibatches", "epochs", "forward_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.prompts_per_iteration % self.minibatches:
            raise ValueError(
                f"prompts_per_iteration {self.prompts_per_iteration} must be a multiple of minibatches "
                f"{self.minibatches}"
            )


@torch.no_grad()
def roll_out(
    models: PPOModels, reference: Decoder, reward: Reward, prompts: Sequence[Prompt], plan: RolloutPlan, iteration: int
) -> RolloutBatch:
    """An iteration's answers to `prompts`, on the models' device: a function of the weights, plan and iteration.

    Raises TrainingFailed when the reward does not answer one finite score per answer.
    """
    with _evaluating(models):
        samples = sample(
            models.actor,
            [prompt.tokens for prompt in prompts],
            plan.max_new_tokens,
            top_p=plan.top_p,
            stop_ids=plan.stop_ids,
            generator=torch.Generator().manual_seed(derived_seed(plan.seed, SAMPLING, iteration)),
            rows=plan.forward_rows,
        )
        answers = [Answer(*pair) for pair in zip(prompts, map(tuple, samples.responses()), strict=True)]
        device = samples.tokens.device
        tokens, lengths = padded([answer.prompt.tokens + answer.response for answer in answers], device)
        columns = torch.arange(tokens.shape[1], device=device)
        mask = (columns >= (lengths - samples.lengths)[:, None]) & (columns < lengths[:, None])
        parts = zip(tokens.split(plan.forward_rows), mask.split(plan.forward_rows), strict=True)
        read = [_read(models, reference, *part) for part in parts]
    logprobs, entropies, reference_logprobs, values = (torch.cat(column) for column in zip(*read, strict=True))
    scores = _scores(reward, answers).to(device)
    rewards = token_rewards(scores, logprobs, reference_logprobs, mask, plan.kl_coefficient)
    advantages, returns = generalised_advantages(rewards, values, mask, plan.gamma, plan.lam)
    sampled = torch.arange(samples.tokens.shape[1], device=device) < samples.lengths[:, None]
    sampler_logprobs = torch.zeros_like(logprobs).masked_scatter(mask, samples.logprobs[sampled])
    _compare(sampler_logprobs, logprobs, plan.largest_logprob_gap, iteration)
    return RolloutBatch(
        tokens=tokens,
        response_mask=mask,
        sampler_logprobs=sampler_logprobs,
        logprobs=logprobs,
        reference_logprobs=reference_logprobs,
        entropies=entropies,
        advantages=advantages,
        returns=returns,
        lengths=lengths,
        scores=scores,
        stopped=torch.tensor([reason == "stop" for reason in samples.finish_reason], device=device),
        ids=tuple(prompt.id for prompt in prompts),
        train_actor=iteration >= plan.critic_warmup_iterations,
    )


def _read(models: PPOModels, reference: Decoder, tokens: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """The actor's logprobs and entropies, the reference's logprobs and the critic's values: each [B, T]."""
    hidden, weight = predicting_states(models.actor, tokens, mask), models.actor.output.weight
    empty = torch.zeros(mask.shape, device=mask.device)
    logprobs = empty.masked_scatter(mask, token_logprobs(hidden, weight, tokens[mask]))
    entropies = empty.masked_scatter(mask, token_entropies(hidden, weight))
    return logprobs, entropies, response_logprobs(reference, tokens, mask), values_before(models.critic, tokens)


def _scores(reward: Reward, answers: Sequence[Answer]) -> Tensor:
    scores = torch.tensor(list(reward(answers)), dtype=torch.float32)
    if scores.shape != (len(answers),):
        raise TrainingFailed(f"the reward gave scores of shape {tuple(scores.shape)} for {len(answers)} answers")
    wrong = [answer.prompt.id for answer, score in zip(answers, scores, strict=True) if not score.isfinite()]
    if wrong:
        raise TrainingFailed(f"the reward gave no finite score for {len(wrong)} answers, to the prompts {wrong[:5]}")
    return scores


def _compare(sampler_logprobs: Tensor, logprobs: Tensor, bound: float, iteration: int) -> None:
    """Warns when the sampler and the trainer do not compute the same policy."""
    gap = (sampler_logprobs - logprobs).abs().max().item()
    if not gap <= bound:
        logger.warning(
            "iteration %d: sampler and trainer differ by up to %.3g nats in a token's logprob, more than %.3g: "
            "the rollouts are not of the policy that is trained",
            iteration, gap, bound,
        )  # fmt: skip


@contextmanager
def _evaluating(models: nn.Module) -> Iterator[None]:
    training = models.training
    models.eval()
    try:
        yield
    finally:
        models.train(training)
