"""A decoder that gives one number per token instead of logits: reward models and critics."""

import copy

import torch
from torch import Tensor, nn

from models.architecture.decoder import Decoder

# Standard deviation of the scores of a new head. The log barrier of InternLM2's reward loss is clamped just inside
# (-5, 5) and has no gradient outside, so a head must start well within; the paper draws it at random
# (arXiv 2403.17297, section 4.2.1) without saying how, XTuner starts at zero.
HEAD_SPREAD = 0.1


class ScalarModel(nn.Module):
    """A decoder and a linear head to one number, without bias.

    The head's weights are drawn from a normal distribution with standard deviation head_spread / sqrt(dim), which
    gives scores a standard deviation of about `head_spread` whatever the width (the decoder's last norm leaves
    states of unit size); 0 is XTuner's zero head. The draw depends on `seed` alone. The decoder is kept, not copied,
    and its output projection is frozen unless it is also the embedding: nothing here reads it.
    """

    def __init__(self, decoder: Decoder, head_spread: float = HEAD_SPREAD, seed: int = 0) -> None:
        super().__init__()
        if not head_spread >= 0:
            raise ValueError(f"head_spread must be at least 0, not {head_spread}")
        self.decoder = decoder
        dim, embeddings = decoder.config.dim, decoder.tok_embeddings.weight
        drawn = torch.empty(1, dim).normal_(0.0, 1.0, generator=torch.Generator().manual_seed(seed))
        with torch.device("meta"):
            self.head = nn.Linear(dim, 1, bias=False)
        self.head.weight = nn.Parameter((drawn * (head_spread / dim**0.5)).to(embeddings.device, embeddings.dtype))
        if not decoder.config.tie_embeddings:
            decoder.output.weight.requires_grad_(False)

    def forward(self, tokens: Tensor, positions: Tensor | None = None, document_ids: Tensor | None = None) -> Tensor:
        """One float32 number per token [B, T]; arguments as in `Decoder.forward`."""
        states = self.decoder.hidden_states(tokens, positions, document_ids)
        # In float32 whatever the decoder's dtype: differences of scores are smaller than what bfloat16 tells apart.
        return (states.float() @ self.head.weight.float().T).squeeze(-1)


class RewardModel(ScalarModel):
    """A decoder that scores documents at the reward token that ends each of them (see `reward_positions`)."""

    def scores(self, tokens: Tensor, positions: Tensor | None = None, document_ids: Tensor | None = None) -> Tensor:
        """The score at every token, float32 [B, T]; those at `reward_positions` are the documents'."""
        scores: Tensor = self(tokens, positions, document_ids)
        return scores


class ValueModel(ScalarModel):
    """A critic: the return expected from each token on."""

    def values(self, tokens: Tensor, positions: Tensor | None = None, document_ids: Tensor | None = None) -> Tensor:
        """The value of every token, float32 [B, T]."""
        values: Tensor = self(tokens, positions, document_ids)
        return values


class TokenRewardModel(ScalarModel):
    """Scores every token, given all before it (OREAL, arXiv 2502.06781, section 2.4)."""


def reward_positions(tokens: Tensor, document_ids: Tensor | None, reward_token_id: int) -> Tensor:
    """Marks the last occurrence of the reward token in each document of each row, bool [B, T].

    `tokens` and `document_ids` are integer tensors [B, T]; without document ids each row is one document. A document
    without the token is not marked, so that `scores[mask]` has the marked documents' scores in row order.
    """
    found = tokens == reward_token_id
    if document_ids is None:
        document_ids = torch.zeros_like(tokens)
    mask = torch.zeros_like(found)
    rows, columns = found.nonzero(as_tuple=True)
    documents, place = torch.unique(torch.stack((rows, document_ids[found])), dim=1, return_inverse=True)
    last = columns.new_zeros(documents.shape[1]).scatter_reduce(0, place, columns, "amax")
    mask[documents[0], last] = True
    return mask


def reward_from_decoder(decoder: Decoder, head_spread: float = HEAD_SPREAD, seed: int = 0) -> RewardModel:
    """A reward model with a copy of the decoder's weights and a new head (InternLM2 starts from the SFT model)."""
    return RewardModel(_trainable_copy(decoder), head_spread, seed)


def critic_from_reward(reward: RewardModel, head_spread: float = HEAD_SPREAD, seed: int = 0) -> ValueModel:
    """A critic with a copy of the reward model's decoder, but a new head (arXiv 2403.17297, section 4.2.3).

    A frozen reward model gives a trainable critic.
    """
    return ValueModel(_trainable_copy(reward.decoder), head_spread, seed)


def token_reward_from_decoder(decoder: Decoder) -> TokenRewardModel:
    """A token reward model with a copy of the policy's weights and a zero head (OREAL, section 3.2).

    The output projection, which it does not read, is zero unless it is also the embedding, as in its folder.
    """
    model = TokenRewardModel(_trainable_copy(decoder), head_spread=0.0)
    if not decoder.config.tie_embeddings:
        with torch.no_grad():
            model.decoder.output.weight.zero_()
    return model


def _trainable_copy(decoder: Decoder) -> Decoder:
    copied = copy.deepcopy(decoder).requires_grad_(True)
    copied.zero_grad()
    return copied
