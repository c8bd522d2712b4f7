"""OREAL's token reward model: scores of tokens whose mean tells right from wrong (arXiv 2502.06781, section 2.4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture.heads import TokenRewardModel
from models.training.objectives import Objective
from models.training.trajectories import Trajectory, TrajectoryBatch, trajectory_batch


def sequence_logits(scores: Tensor, mask: Tensor) -> Tensor:
    """The mean of `scores` [B, T] over the response tokens of every row that has any, in order."""
    answered = mask.any(dim=1)
    return (torch.where(mask, scores, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1))[answered]


def token_reward_objective() -> Objective:
    """Binary cross-entropy of sigmoid(mean score) against the outcome, per trajectory (equation 12).

    The score of a token is that of all up to and with it. Reported beside the `loss`: `accuracy`, where a mean of 0
    counts as wrong, and `right`, the share of right trajectories, whose larger side is what guessing reaches.
    """

    def sums(model: TokenRewardModel, batch: TrajectoryBatch) -> dict[str, Tensor]:
        logits = sequence_logits(model(batch.tokens), batch.response_mask)
        right = batch.right[batch.response_mask.any(dim=1)]
        return {
            "loss": F.binary_cross_entropy_with_logits(logits, right.float(), reduction="sum"),
            "accuracy": (torch.where(right, logits, -logits) > 0).float().sum(),
            "right": right.float().sum(),
        }

    def counts(batch: TrajectoryBatch) -> dict[str, int]:
        return dict.fromkeys(("loss", "accuracy", "right"), int(batch.response_mask.any(dim=1).sum()))

    return Objective("token_reward", sums, counts, {"loss": 1.0})


@torch.no_grad()
def token_scores(model: TokenRewardModel, trajectories: Sequence[Trajectory], rows: int = 64) -> list[Tensor]:
    """The score w of every response token: a float32 tensor on the CPU per trajectory, in their order.

    `rows` trajectories are computed at a time.
    """
    device = model.head.weight.device
    order = sorted(range(len(trajectories)), key=lambda place: _length(trajectories[place]))
    found: dict[int, Tensor] = {}
    for begin in range(0, len(order), rows):
        places = order[begin : begin + rows]
        batch = trajectory_batch([trajectories[place] for place in places]).to(device)
        scores = model(batch.tokens)[batch.response_mask].cpu()
        found |= dict(zip(places, scores.split(batch.response_mask.sum(dim=1).tolist()), strict=True))
    return [found[place] for place in range(len(trajectories))]


def _length(trajectory: Trajectory) -> int:
    return len(trajectory.prompt) + len(trajectory.response)
