"""Answers that were sampled, judged and weighed before, as a source of batches.

Token ids all the way: what was sampled is what is trained on, never tokenised again. Rollouts and scores are made
elsewhere; here the data is static, so that every back-end and launcher trains on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Trajectory:
    """A prompt and one sampled response, both token ids.

    `logprobs` are the sampler's, in nats, one per response token; `right` is the verifier's judgement. `weight` is of
    the whole response (see `outcome_rewards`), `token_weights` are of its tokens, all 1 where there is no credit
    assignment; neither has a sign, which `right` gives. Raises ValueError for parts that do not fit.
    """

    id: str
    prompt: tuple[int, ...]
    response: tuple[int, ...]
    logprobs: tuple[float, ...]
    right: bool
    weight: float
    token_weights: tuple[float, ...]

    def __post_init__(self) -> None:
        size = len(self.response)
        if not self.prompt or not size:
            raise ValueError(f"trajectory {self.id} has no prompt or no response; drop it")
        if len(self.logprobs) != size or len(self.token_weights) != size:
            raise ValueError(
                f"trajectory {self.id} has {size} response tokens, {len(self.logprobs)} logprobs and "
                f"{len(self.token_weights)} token weights; give one of each per token"
            )
        if not (0 <= self.weight < float("inf") and all(0 <= each < float("inf") for each in self.token_weights)):
            raise ValueError(f"trajectory {self.id} has a weight that is negative or not finite; `right` has the sign")


@dataclass(frozen=True)
class TrajectoryBatch:
    """Prompts with their responses, padded on the right: tensors [B, T], what stands in column t being of token t.

    `tokens` are int64, 0 in the padding; `response_mask` is True at response tokens. Of those, and 0 elsewhere:
    `sampler_logprobs` in nats and `token_weights`. `lengths` (prompt and response), `right` (bool) and `weight` are
    [B]. `ids` names the trajectories. A row without a response counts nowhere: a part of a batch may be one.
    """

    tokens: Tensor
    response_mask: Tensor
    sampler_logprobs: Tensor
    token_weights: Tensor
    lengths: Tensor
    right: Tensor
    weight: Tensor
    ids: tuple[str, ...]

    @property
    def n_tokens(self) -> int:
        """Tokens of prompts and responses; padding does not count."""
        return int(self.lengths.sum())

    @property
    def response_tokens(self) -> int:
        return int(self.response_mask.sum())

    def split(self, parts: int) -> list["TrajectoryBatch"]:
        """The rows by falling length, in `parts` batches of about equally many tokens, each as wide as its longest.

        Where there are too few rows, a part is a row without a response, so that every process takes part.
        """
        order = self.lengths.argsort(descending=True, stable=True)
        lengths = self.lengths[order]
        middles = lengths.cumsum(0) - lengths / 2
        share = (middles * parts / lengths.sum()).long()
        return [
            self.select(rows) if len(rows := order[share == part]) else _empty_row(self.tokens.device)
            for part in range(parts)
        ]

    def select(self, rows: Tensor) -> "TrajectoryBatch":
        """The trajectories at `rows` [N], in that order, as wide as the longest of them."""
        columns = {name: tensor[rows.to(tensor.device)] for name, tensor in self._tensors().items()}
        width = int(columns["lengths"].max())
        cut = {name: tensor[:, :width] if tensor.ndim == 2 else tensor for name, tensor in columns.items()}
        return replace(self, **cut, ids=tuple(self.ids[row] for row in rows.tolist()))

    def to(self, device: torch.device) -> "TrajectoryBatch":
        """The same batch on `device`."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        return {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}


def trajectory_batch(trajectories: Sequence[Trajectory]) -> TrajectoryBatch:
    """The trajectories as tensors on the CPU, in their order."""
    lengths = torch.tensor([len(each.prompt) + len(each.response) for each in trajectories])
    prompts = torch.tensor([len(each.prompt) for each in trajectories])
    columns = torch.arange(int(lengths.max()))
    filled = columns < lengths[:, None]
    mask = filled & (columns >= prompts[:, None])

    def placed(where: Tensor, rows: Sequence[Sequence[float]], dtype: type) -> Tensor:
        flat = np.fromiter(chain.from_iterable(rows), dtype=dtype)
        return torch.zeros(where.shape, dtype=torch.from_numpy(flat[:0]).dtype).masked_scatter_(
            where, torch.from_numpy(flat)
        )

    return TrajectoryBatch(
        tokens=placed(filled, [each.prompt + each.response for each in trajectories], np.int64),
        response_mask=mask,
        sampler_logprobs=placed(mask, [each.logprobs for each in trajectories], np.float32),
        token_weights=placed(mask, [each.token_weights for each in trajectories], np.float32),
        lengths=lengths,
        right=torch.tensor([each.right for each in trajectories]),
        weight=torch.tensor([each.weight for each in trajectories], dtype=torch.float32),
        ids=tuple(each.id for each in trajectories),
    )


def _empty_row(device: torch.device) -> TrajectoryBatch:
    """A row of one padding token, which counts as none."""
    zeros = torch.zeros(1, 1, device=device)
    return TrajectoryBatch(
        zeros.long(), zeros.bool(), zeros, zeros, zeros[0].long(), zeros[0].bool(), zeros[0], ids=("",)
    )


class TrajectorySource:
    """The updates of one part of a run: a Source.

    `updates[i]` are the trajectories of step `first_step + i`, in any numbers. Raises ValueError for an update
    without any.
    """

    update_period = 1
    batch_shape = None

    def __init__(self, updates: Sequence[Sequence[Trajectory]], first_step: int = 0) -> None:
        if not updates or not all(updates):
            raise ValueError("every update needs a trajectory: leave out the step, or sample more prompts")
        self.updates = updates
        self.first_step = first_step

    @property
    def end(self) -> int:
        """The step after the last."""
        return self.first_step + len(self.updates)

    def require(self, steps: int) -> None:
        """Raises ValueError when the updates end before `steps` steps are done."""
        if steps > self.end:
            raise ValueError(
                f"the trajectories are of the steps {self.first_step} to {self.end - 1}, too few for {steps} steps; "
                "train until an earlier step"
            )

    def batch(self, step: int, model: object = None) -> TrajectoryBatch:
        """The trajectories of a step, whatever the model. Raises ValueError for a step of another part of the run."""
        if not self.first_step <= step < self.end:
            raise ValueError(
                f"step {step} is asked for, but the trajectories are of the steps {self.first_step} to {self.end - 1}: "
                "give those of the part of the run that comes next"
            )
        return trajectory_batch(self.updates[step - self.first_step])

    def heaviest_batch(self, steps: int, model: object = None) -> TrajectoryBatch:
        """The update that is largest when padded."""

        def padded_size(update: Sequence[Trajectory]) -> int:
            return len(update) * max(len(each.prompt) + len(each.response) for each in update)

        return trajectory_batch(max(self.updates, key=padded_size))

    def row_ids(self, batch: TrajectoryBatch) -> list[str]:
        """The ids of the batch's trajectories."""
        return list(batch.ids)
