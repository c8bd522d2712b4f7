"""Learning from outcomes: right answers are imitated, wrong ones made less likely, near a reference (OREAL).

Paper: arXiv 2502.06781, equation 11; code: InternLM/OREAL, train_oreal.py. Where they differ, a field chooses. With
other weights and fields the same loss is that of REINFORCE and of GRPO.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from models.architecture.decoder import Decoder
from models.training.checkpoint import weights_digest
from models.training.objectives import Objective
from models.training.plan import TrainingFailed
from models.training.ppo import kl_sums
from models.training.response_scores import logprobs_and_entropies, predicting_states
from models.training.trajectories import TrajectoryBatch

# Nats between the sampler's and the trainer's logprob of a token from which it counts as another policy's.
LARGE_GAP = 0.05


@dataclass(frozen=True)
class OutcomeLoss:
    """How right and wrong trajectories enter the loss. Raises ValueError for values outside their range.

    negative_coefficient: the wrong ones' share, eta; 0.5 in the code, a symbol only in the paper.
    negative_form: of a wrong token, "log" log(pi / pi_old) (paper) or "ratio" pi / pi_old (code), neither clipped;
    pi_old is the sampler. Where pi is pi_old, as in the first update after sampling, both have one gradient.
    normalise: "by_sign" divides the sum over right (wrong) trajectories by their response tokens (code), "together"
    both by all response tokens. kl_coefficient: beta, of the k3 estimate of KL(pi || reference) per response token.
    """

    negative_coefficient: float = 0.5
    negative_form: Literal["log", "ratio"] = "ratio"
    normalise: Literal["by_sign", "together"] = "by_sign"
    kl_coefficient: float = 0.01

    def __post_init__(self) -> None:
        for name in ("negative_coefficient", "kl_coefficient"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and at least 0, not {getattr(self, name)}")
        for name, allowed in (("negative_form", ("log", "ratio")), ("normalise", ("by_sign", "together"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")


# Equation 11 sums over the tokens of a trajectory and has one expectation over right and wrong ones; here sums are over
# all tokens of the batch, so that long answers do not weigh more per token. Eta is the code's.
PAPER_LOSS = OutcomeLoss(negative_form="log", normalise="together")
# What train_oreal.py computes; its weights are |RLOO advantages|, not (1 - p).
REPO_LOSS = OutcomeLoss()
# With weights of `reward`: E[R log pi] without a baseline; the KL term is OREAL's, so that arms differ in one thing.
REINFORCE_LOSS = OutcomeLoss(negative_coefficient=1.0, negative_form="log", normalise="together")
# With weights of `grpo`: its surrogate has no clipping and, for right answers, log pi in place of the ratio, which is
# the same gradient in an iteration's only update; it divides by the batch's tokens, not by each answer's.
GRPO_LOSS = OutcomeLoss(negative_coefficient=1.0, negative_form="ratio", normalise="together")


def outcome_objective(reference: Decoder, loss: OutcomeLoss = REPO_LOSS) -> Objective:
    """The loss over a `TrajectoryBatch`, with a frozen copy of `reference`: the policy before its first update.

    (The code's reference; the paper's equation names pi_old, the policy of the iteration before.)

    Terms: `positive` and `negative`, divided as `loss` says, and `kl` per response token. Reported, per response token:
    `entropy` of the policy in nats, `weight_right` and `weight_wrong` (mean token weights), `logprob_gap` between
    sampler and trainer in nats and `large_gap`, the share of tokens over 0.05; per trajectory: `right` and
    `response_length`. Raises TrainingFailed for a batch in which every weight is 0.
    """
    frozen = copy.deepcopy(reference).eval().requires_grad_(False)
    reference_like = _placed(frozen)

    def sums(policy: Decoder, batch: TrajectoryBatch) -> dict[str, Tensor]:
        mask, right = batch.response_mask, batch.right[:, None].expand_as(batch.response_mask)
        hidden, weight = predicting_states(policy, batch.tokens, mask), policy.output.weight
        targets = batch.tokens[mask]
        logprobs, entropies = logprobs_and_entropies(hidden, weight, targets)
        sampled, is_right, credit = batch.sampler_logprobs[mask], right[mask], batch.token_weights[mask]
        weighted = credit * batch.weight[:, None].expand_as(mask)[mask]
        pulled = logprobs - sampled if loss.negative_form == "log" else (logprobs - sampled).exp()
        gap = (logprobs.detach() - sampled).abs()
        found = {
            "positive": -(torch.where(is_right, weighted, 0.0) * logprobs).sum(),
            "negative": (torch.where(is_right, 0.0, weighted) * pulled).sum(),
            "entropy": entropies.sum(),
            "weight_right": torch.where(is_right, credit, 0.0).sum(),
            "weight_wrong": torch.where(is_right, 0.0, credit).sum(),
            "logprob_gap": gap.sum(),
            "large_gap": (gap > LARGE_GAP).float().sum(),
            "right": batch.right.float().sum(),
            "response_length": mask.float().sum(),
        }
        if loss.kl_coefficient:
            with torch.no_grad():
                base = reference_like(weight.device, weight.dtype)
                states = predicting_states(base, batch.tokens, mask)
                base_logprobs, _ = logprobs_and_entropies(states, base.output.weight, targets)
            found["kl"] = kl_sums(logprobs, base_logprobs, torch.ones_like(is_right))[1]
        return found

    coefficients = {"positive": 1.0, "negative": loss.negative_coefficient, "kl": loss.kl_coefficient}
    identity = {"reference": weights_digest(frozen)} | asdict(loss)
    return Objective("outcome", sums, lambda batch: _counts(batch, loss), coefficients, identity)


def _counts(batch: TrajectoryBatch, loss: OutcomeLoss) -> dict[str, int]:
    """What each of the sums is divided by."""
    if not (batch.weight[:, None] * batch.token_weights).any():
        raise TrainingFailed(
            f"every weight of the {len(batch.ids)} trajectories is 0, so that nothing but the KL term would be "
            "trained: train the token reward model for longer first, or sample prompts with right and wrong answers"
        )
    tokens, right = batch.response_tokens, int((batch.response_mask & batch.right[:, None]).sum())
    wrong = tokens - right
    by_sign = loss.normalise == "by_sign"
    return (
        {"positive": right if by_sign else tokens, "negative": wrong if by_sign else tokens}
        | {"weight_right": right, "weight_wrong": wrong}
        | dict.fromkeys(("kl", "entropy", "logprob_gap", "large_gap"), tokens)
        | dict.fromkeys(("right", "response_length"), int(batch.response_mask.any(dim=1).sum()))
    )


def _placed(frozen: Decoder) -> Callable[[torch.device, torch.dtype], Decoder]:
    """The frozen model on a device and in a dtype, kept for the next batch."""
    kept = frozen.output.weight

    @lru_cache(maxsize=1)
    def placed(device: torch.device, dtype: torch.dtype) -> Decoder:
        # A copy, because rounding the kept weights would make the result depend on what was computed before.
        return frozen if (device, dtype) == (kept.device, kept.dtype) else copy.deepcopy(frozen).to(device, dtype)

    return placed
