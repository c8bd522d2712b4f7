"""Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290)."""

import copy
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from models.architecture.decoder import Decoder
from models.training.checkpoint import weights_digest
from models.training.cross_entropy import IGNORED
from models.training.objectives import Objective
from models.training.packing import PackedBatch
from models.training.pairs import count_pairs, pair_documents
from models.training.response_scores import token_logprobs


def dpo_margin(policy: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor], beta: float) -> Tensor:
    """How much more the policy's implicit reward prefers the chosen document, per pair (section 4).

    `policy` and `reference` are log-probabilities, in nats, of the chosen and the rejected documents; a document's
    implicit reward is beta * (policy - reference).
    """
    chosen, rejected = (beta * (ours - theirs) for ours, theirs in zip(policy, reference, strict=True))
    return chosen - rejected


def dpo_loss(policy: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor], beta: float) -> Tensor:
    """-log sigmoid(margin), in nats per pair (equation 7)."""
    return -F.logsigmoid(dpo_margin(policy, reference, beta))


def document_logprobs(model: Decoder, batch: PackedBatch) -> tuple[Tensor, Tensor]:
    """Log-probabilities, in nats, of the trained tokens of the chosen and of the rejected documents.

    Summed per document: float32 [pairs] each, by ascending document id. Logits are computed for trained tokens only.
    """
    documents = pair_documents(batch)
    trained = batch.targets != IGNORED
    hidden = model.hidden_states(batch.tokens, batch.positions, batch.document_ids)[trained]
    logprobs = token_logprobs(hidden, model.output.weight, batch.targets[trained])
    places = torch.searchsorted(documents, batch.document_ids[trained])
    summed = logprobs.new_zeros(len(documents)).index_add(0, places, logprobs)
    return summed[::2], summed[1::2]


def dpo_objective(reference: Decoder, beta: float = 0.1) -> Objective:
    """DPO against a frozen copy of `reference`, which may be the very model that is going to be trained.

    `beta` is the paper's default (its appendix B). The reference computes on the policy's device and in its dtype, so
    that both round alike and a policy equal to its reference has the loss log 2. Reported beside the loss, per pair:
    `accuracy`, where equal implicit rewards count as wrong, and `margin`.
    """
    frozen = copy.deepcopy(reference).eval().requires_grad_(False)
    identity = {"reference": weights_digest(frozen), "beta": beta}
    kept = frozen.output.weight

    @lru_cache(maxsize=1)
    def reference_like(device: torch.device, dtype: torch.dtype) -> Decoder:
        # A copy, because rounding the kept weights would make the result depend on what was computed before.
        return frozen if (device, dtype) == (kept.device, kept.dtype) else copy.deepcopy(frozen).to(device, dtype)

    def sums(model: Decoder, batch: PackedBatch) -> dict[str, Tensor]:
        policy = document_logprobs(model, batch)
        weight = model.output.weight
        with torch.no_grad():
            base = document_logprobs(reference_like(weight.device, weight.dtype), batch)
        margin = dpo_margin(policy, base, beta).detach()
        return {
            "loss": dpo_loss(policy, base, beta).sum(),
            "accuracy": (margin > 0).float().sum(),
            "margin": margin.sum(),
        }

    def counts(batch: PackedBatch) -> dict[str, int]:
        return dict.fromkeys(("loss", "accuracy", "margin"), count_pairs(batch))

    return Objective("dpo", sums, counts, {"loss": 1.0}, identity)
