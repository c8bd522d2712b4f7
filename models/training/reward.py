"""InternLM2's reward-model loss: focal ranking and a log barrier (arXiv 2403.17297, section 4.2.1).

Numerics are those of XTuner's implementation (InternLM/xtuner, xtuner/model/reward.py): the focal factor has a
gradient of its own, the barrier is clamped in float32 and summed over both scores of a pair, and means are over pairs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture.heads import RewardModel, reward_positions
from models.training.objectives import Objective
from models.training.packing import PackedBatch
from models.training.pairs import count_pairs, pair_documents

BARRIER = 5.0
# Scores beyond the barrier, where its logarithm has no value, are held this far inside it: without a gradient.
BARRIER_MARGIN = 1e-3


def ranking_loss(chosen: Tensor, rejected: Tensor, gamma: float = 2.0) -> Tensor:
    """-(1 - 2 * max(0, P - 1/2))^gamma * log P, in nats per pair, with P = sigmoid(chosen - rejected).

    Any equal shapes. The factor is 1 for a pair ranked wrongly or not at all and falls to 0 the surer the ranking is;
    gamma 0 is the plain ranking loss.
    """
    difference = chosen - rejected
    # 1 - 2 (P - 1/2) = 2 (1 - P) = 2 sigmoid(-difference), which keeps its digits where P rounds to 1.
    factor = torch.where(difference > 0, 2 * torch.sigmoid(-difference), 1.0)
    return -(factor**gamma) * F.logsigmoid(difference)


def barrier_penalty(scores: Tensor) -> Tensor:
    """-(log(score + 5) + log(5 - score)) per score, in at least float32: lowest at 0, steep towards -5 and 5."""
    limit = BARRIER - BARRIER_MARGIN
    inside = (scores if scores.dtype == torch.float64 else scores.float()).clamp(-limit, limit)
    return -torch.log(BARRIER + inside) - torch.log(BARRIER - inside)


def reward_objective(reward_token_id: int, gamma: float = 2.0, penalty: float = 0.02) -> Objective:
    """Ranking of pairs by a `RewardModel`, read at the reward token that ends each document.

    `penalty` weighs the barrier: 0.02 in the paper, 0.01 in XTuner. Reported beside both losses, all per pair:
    `accuracy`, where equal scores count as wrong, and `margin`, the chosen score less the rejected one.
    """

    def sums(model: RewardModel, batch: PackedBatch) -> dict[str, Tensor]:
        chosen, rejected = pair_scores(model, batch, reward_token_id)
        return {
            "ranking": ranking_loss(chosen, rejected, gamma).sum(),
            "penalty": barrier_penalty(chosen).sum() + barrier_penalty(rejected).sum(),
            "accuracy": (chosen > rejected).float().sum(),
            "margin": (chosen - rejected).detach().sum(),
        }

    def counts(batch: PackedBatch) -> dict[str, int]:
        return dict.fromkeys(("ranking", "penalty", "accuracy", "margin"), count_pairs(batch))

    identity = {"reward_token_id": reward_token_id, "gamma": gamma, "penalty": penalty}
    return Objective("reward", sums, counts, {"ranking": 1.0, "penalty": penalty}, identity)


def pair_scores(model: RewardModel, batch: PackedBatch, reward_token_id: int) -> tuple[Tensor, Tensor]:
    """The scores of the chosen and of the rejected documents, float32 [pairs] each, by ascending document id.

    Raises ValueError for a document without the reward token.
    """
    documents = pair_documents(batch)
    mask = reward_positions(batch.tokens, batch.document_ids, reward_token_id)
    found, order = batch.document_ids[mask].sort()
    if not found.equal(documents):
        raise ValueError(
            f"{len(documents) - len(found)} of {len(documents)} documents lack the reward token {reward_token_id}: "
            "render pairs with `chat.reward_pair`"
        )
    scores = model.scores(batch.tokens, batch.positions, batch.document_ids)[mask][order]
    return scores[::2], scores[1::2]
