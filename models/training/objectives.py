"""What a model is trained to do: named sums over a batch, as plain functions of a model and a batch.

An objective answers sums, never means: the loop divides each by its count over the whole global batch, so that
gradient accumulation and data parallelism over ragged micro-batches weigh every token, pair or answer alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from models.architecture.decoder import Decoder
from models.training.cross_entropy import summed_nll
from models.training.packing import PackedBatch


class Batch(Protocol):
    """One step's rows; `tokens` counts what the models read."""

    @property
    def n_tokens(self) -> int: ...

    def split(self, parts: int) -> list[Self]: ...

    def to(self, device: torch.device) -> Self: ...


class Source(Protocol):
    """Batches as a pure function of the step (and, for rollouts, of the weights).

    `update_period` is the number of steps that share what was drawn from the weights: a trainer state is saved only
    between periods. `batch_shape` is the rows and tokens of every batch, None when they vary. `require` raises
    ValueError when there are fewer steps. `row_ids` names the rows of a batch for a person; `heaviest_batch`
    needs as much memory as any batch of the run's steps.
    """

    @property
    def update_period(self) -> int: ...

    @property
    def batch_shape(self) -> tuple[int, int] | None: ...

    def batch(self, step: int, model: nn.Module) -> Batch: ...

    def require(self, steps: int) -> None: ...

    def row_ids(self, batch: Any) -> list[str]: ...

    def heaviest_batch(self, steps: int, model: Any) -> Batch: ...


@dataclass(frozen=True)
class Objective:
    """How a batch is scored.

    `sums(model, batch)` answers float32 scalars by name; `counts(batch)` by the same names what each is divided by,
    summed over the global batch. The loss is the sum of the means weighted by `coefficients`; a name without one is
    only reported. `identity` names all that determines the result beside model, data and plan: hyperparameters, and
    digests of frozen models.
    """

    name: str
    sums: Callable[[Any, Any], dict[str, Tensor]]
    counts: Callable[[Any], dict[str, int]]
    coefficients: Mapping[str, float]
    identity: Mapping[str, object] = field(default_factory=dict)


def next_token_sums(model: Decoder, batch: PackedBatch) -> dict[str, Tensor]:
    """`loss`: summed negative log-likelihood, in nats, of the batch's targets that are not -100."""
    hidden = model.hidden_states(batch.tokens, batch.positions, batch.document_ids)
    return {"loss": summed_nll(hidden.flatten(0, 1), model.output.weight, batch.targets.flatten())}


def trained_tokens(batch: PackedBatch) -> dict[str, int]:
    return {"loss": batch.trained_tokens}


# The loss mask of chat examples is in the targets of the batch, so both compute the same.
PRETRAIN = Objective("pretrain", next_token_sums, trained_tokens, {"loss": 1.0})
SFT = Objective("sft", next_token_sums, trained_tokens, {"loss": 1.0})
