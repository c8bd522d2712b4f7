"""Rollouts as tensors: what the policy answered, and what the frozen models and the critic said of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from models.training.packing import PackedBatch


@dataclass(frozen=True)
class RolloutBatch:
    """Prompts with their responses, padded on the right: tensors [B, T], what stands in column t being of token t.

    `tokens` are int64, 0 in the padding; `response_mask` is True at response tokens. Of those, and 0 elsewhere:
    `sampler_logprobs` as they were sampled, `logprobs` as the actor computed them anew before the first update and
    `reference_logprobs` of the frozen reference, all in nats; `entropies` of the actor's distribution; `advantages`
    and `returns`. `lengths` (prompt and response), `scores` of the reward and `stopped` (the response ended itself)
    are [B]. `ids` names the prompts. `train_actor` is False while only the critic learns; `pretrain` are the rows
    whose next-token loss is mixed in, None for none.
    """

    tokens: Tensor
    response_mask: Tensor
    sampler_logprobs: Tensor
    logprobs: Tensor
    reference_logprobs: Tensor
    entropies: Tensor
    advantages: Tensor
    returns: Tensor
    lengths: Tensor
    scores: Tensor
    stopped: Tensor
    ids: tuple[str, ...]
    train_actor: bool = True
    pretrain: PackedBatch | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens of prompts, responses and pretrain rows; padding does not count."""
        return int(self.lengths.sum()) + (self.pretrain.tokens.numel() if self.pretrain else 0)

    @property
    def response_tokens(self) -> int:
        return int(self.response_mask.sum())

    def split(self, parts: int) -> list["RolloutBatch"]:
        """The rows in order, in `parts` batches of equal size, each with its share of the pretrain rows.

        Raises ValueError when either do not divide.
        """
        rows = len(self.tokens)
        if rows % parts or (self.pretrain is not None and len(self.pretrain.tokens) % parts):
            pretrain_rows = 0 if self.pretrain is None else len(self.pretrain.tokens)
            raise ValueError(f"{rows} rollouts and {pretrain_rows} pretrain rows do not divide into {parts} parts")
        chunks = [self.select(chunk) for chunk in torch.arange(rows).chunk(parts)]
        if self.pretrain is None:
            return chunks
        return [replace(part, pretrain=share) for part, share in zip(chunks, self.pretrain.split(parts), strict=True)]

    def select(self, rows: Tensor) -> "RolloutBatch":
        """The rollouts at `rows` [N], in that order, without pretrain rows."""
        columns = {name: tensor[rows.to(tensor.device)] for name, tensor in self._tensors().items()}
        return replace(self, **columns, ids=tuple(self.ids[row] for row in rows.tolist()), pretrain=None)

    def to(self, device: torch.device) -> "RolloutBatch":
        """The same batch on `device`."""
        columns = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return replace(self, **columns, pretrain=self.pretrain.to(device) if self.pretrain else None)

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}


def padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows padded with 0 on the right, int64 [B, T], and their lengths [B].

    Behind its tokens a row's padding is seen by none of them, so that no mask is needed.
    """
    lengths = torch.tensor([len(row) for row in rows], device=device)
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = torch.tensor(row)
    return tokens.to(device), lengths
