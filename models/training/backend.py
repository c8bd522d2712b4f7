"""Where weights, gradients and moments live: the protocol the loop is written against, and plain torch.

Several processes (started by torchrun) each compute their share of a batch's rows; gradients are summed over them,
which is right because every sum is divided by its count over the global batch.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import AdamW

from models.architecture.decoder import Decoder
from models.training.objectives import Batch, Objective
from models.training.plan import TrainingPlan


class Backend(Protocol):
    """One process's part of a training run.

    `loads_after_trial`: a state can be loaded only after `accumulate` and `discard_gradients`.
    """

    rank: int
    world_size: int
    loads_after_trial: bool

    @property
    def model(self) -> nn.Module:
        """What batches are computed with; its weights are the current ones, perhaps in a smaller dtype."""
        ...

    def accumulate(self, objective: Objective, parts: Sequence[Batch], counts: dict[str, int]) -> dict[str, float]:
        """Adds the gradient of the loss over `parts` to what is held; answers every mean over the global batch."""
        ...

    def update(self, learning_rate: float) -> float:
        """Takes one optimizer step with clipping; answers the gradient's norm before clipping."""
        ...

    def discard_gradients(self) -> None: ...

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter whole, in float32 on the CPU. All processes must iterate to the end."""
        ...

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """The optimizer's tensors as `<parameter>.<name>`, whole, on the CPU. All processes must iterate."""
        ...

    def load(self, weights: Iterable[tuple[str, Tensor]], moments: Iterable[tuple[str, Tensor]]) -> None: ...

    def copy_to(self, model: nn.Module) -> None:
        """Puts the current weights into the float32 model that the run began with."""
        ...


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for AdamW: every trained matrix decays, embeddings included, and no norm gain.

    A model with a method `learning_rate_scale(parameter name)` gets groups per scale, under the key `scale`.
    """
    scale_of = getattr(model, "learning_rate_scale", lambda name: 1.0)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((scale_of(name), parameter.ndim > 1), []).append(parameter)
    return [
        {"params": members, "weight_decay": weight_decay if decays else 0.0, "scale": scale}
        for (scale, decays), members in sorted(groups.items(), key=lambda item: (item[0][0], not item[0][1]))
    ]


def set_learning_rate(groups: list[dict[str, Any]], learning_rate: float) -> None:
    for group in groups:
        group["lr"] = learning_rate * group["scale"]


def weighted(objective: Objective, sums: dict[str, Tensor], counts: dict[str, int]) -> Tensor | None:
    """The loss: means by their coefficients. None when nothing of it has a gradient."""
    terms = [
        sums[name] * coefficient / counts[name]
        for name, coefficient in objective.coefficients.items()
        if name in sums and counts[name] and sums[name].requires_grad
    ]
    return torch.stack(terms).sum() if len(terms) > 1 else (terms[0] if terms else None)


def add_sums(totals: dict[str, Tensor], sums: dict[str, Tensor]) -> None:
    """Adds a micro-batch's sums to the totals, without their gradients."""
    for name, value in sums.items():
        totals[name] = totals[name] + value.detach() if name in totals else value.detach().clone()


def means(totals: dict[str, Tensor], counts: dict[str, int]) -> dict[str, float]:
    """Every sum divided by its count; sums that count nothing in this batch are left out."""
    return {name: (total / counts[name]).item() for name, total in totals.items() if counts[name]}


def share_of(batch: Batch, backend: Backend, accumulation: int) -> list[Batch]:
    """The micro-batches that this process computes of a global batch."""
    parts = batch.split(backend.world_size * accumulation)
    return parts[backend.rank * accumulation : (backend.rank + 1) * accumulation]


class TorchBackend:
    """One whole copy of the model in each process, AdamW in float32.

    With a smaller dtype the objective computes with a copy of the model in it, while weights, gradients and moments
    stay in float32.
    """

    loads_after_trial = False

    def __init__(self, model: nn.Module, plan: TrainingPlan) -> None:
        distributed = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if distributed else 0
        self.world_size = dist.get_world_size() if distributed else 1
        self._plan = plan
        self._master = model
        self._working = model if plan.dtype == "float32" else copy.deepcopy(model).to(getattr(torch, plan.dtype))
        self._optimizer = AdamW(parameter_groups(model, plan.weight_decay), betas=plan.betas, eps=plan.eps, fused=True)
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if plan.compile:
            compile_decoders(self._working)

    @property
    def model(self) -> nn.Module:
        return self._working

    def accumulate(self, objective: Objective, parts: Sequence[Batch], counts: dict[str, int]) -> dict[str, float]:
        totals: dict[str, Tensor] = {}
        for part in parts:
            sums = objective.sums(self._working, part)
            loss = weighted(objective, sums, counts)
            if loss is not None:
                loss.backward()  # type: ignore[no-untyped-call]
            add_sums(totals, sums)
            if self._working is not self._master:
                _move_gradients(self._working, self._master)
        if self.world_size > 1:
            for total in totals.values():
                dist.all_reduce(total)
        return means(totals, counts)

    def update(self, learning_rate: float) -> float:
        if self.world_size > 1:
            for parameter in self._trained:
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._plan.clip_norm).item()
        set_learning_rate(self._optimizer.param_groups, learning_rate)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._publish()
        return norm

    def discard_gradients(self) -> None:
        self._optimizer.zero_grad()

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._master.named_parameters():
            yield name, parameter.detach().cpu()

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self._master.named_parameters():
            for key, tensor in self._optimizer.state.get(parameter, {}).items():
                yield f"{name}.{key}", tensor.cpu()

    @torch.no_grad()
    def load(self, weights: Iterable[tuple[str, Tensor]], moments: Iterable[tuple[str, Tensor]]) -> None:
        parameters = dict(self._master.named_parameters())
        for name, tensor in weights:
            parameters[name].copy_(tensor)
        for name, tensor in moments:
            owner, _, key = name.rpartition(".")
            # The step count stays in float32 on the parameter's device: fused AdamW asks for it.
            self._optimizer.state[parameters[owner]][key] = tensor.to(parameters[owner].device)
        self._publish()

    def copy_to(self, model: nn.Module) -> None:
        assert model is self._master, "plain torch trains the model it was given"

    @torch.no_grad()
    def _publish(self) -> None:
        """Rounds the new weights into the copy that computes."""
        if self._working is not self._master:
            for master, worker in zip(self._master.parameters(), self._working.parameters(), strict=True):
                worker.copy_(master)


def compile_decoders(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, Decoder):
            module.compile_parts()


@torch.no_grad()
def _move_gradients(source: nn.Module, target: nn.Module) -> None:
    for worker, master in zip(source.parameters(), target.parameters(), strict=True):
        if worker.grad is not None:
            if master.grad is None:
                master.grad = worker.grad.to(master.dtype)
            else:
                master.grad.add_(worker.grad)
            worker.grad = None
