"""The loop on DeepSpeed: ZeRO stages 0 to 3, with or without the optimizer's memory on the CPU.

A trainer state is the same as plain torch's: whole tensors by parameter name, gathered one at a time. A run may so
go on with another number of processes, another stage or plain torch. (DeepSpeed's own checkpoints are pickles bound to
one layout.)
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import AdamW

from models.training.backend import add_sums, compile_decoders, means, parameter_groups, set_learning_rate, weighted
from models.training.objectives import Batch, Objective
from models.training.plan import TrainingPlan


@dataclass(frozen=True)
class DeepSpeedSettings:
    """How DeepSpeed divides a model among processes; none of it changes what is computed but for rounding.

    zero_stage: 0 divides nothing, 1 moments, 2 also gradients, 3 also weights (Rajbhandari et al. 2020,
    arXiv 1910.02054). offload_optimizer: weights in float32 and moments stay in the CPU's memory.
    """

    zero_stage: int = 1
    offload_optimizer: bool = False

    def __post_init__(self) -> None:
        if self.zero_stage not in (0, 1, 2, 3):
            raise ValueError(f"zero_stage must be 0, 1, 2 or 3, not {self.zero_stage}")
        if self.offload_optimizer and self.zero_stage == 0:
            raise ValueError("offload_optimizer needs zero_stage 1, 2 or 3: stage 0 keeps the optimizer whole")


def deepspeed_config(plan: TrainingPlan, settings: DeepSpeedSettings, world_size: int) -> dict[str, object]:
    """DeepSpeed's configuration, made from the plan. Raises ValueError when the rows do not divide."""
    parts = world_size * plan.accumulation
    if plan.batch_rows % parts:
        raise ValueError(
            f"batch_rows {plan.batch_rows} must be a multiple of processes x accumulation, {world_size} x "
            f"{plan.accumulation}"
        )
    if settings.zero_stage == 0 and plan.dtype != "float32":
        raise ValueError(f"DeepSpeed's stage 0 keeps no float32 weights beside {plan.dtype}: use zero_stage 1")
    zero: dict[str, object] = {"stage": settings.zero_stage}
    if settings.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        "train_batch_size": plan.batch_rows,
        "train_micro_batch_size_per_gpu": plan.batch_rows // parts,
        "gradient_accumulation_steps": plan.accumulation,
        "gradient_clipping": plan.clip_norm,
        "zero_optimization": zero,
        # The optimizer is torch's AdamW, so that every back-end computes the same.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": plan.dtype == "bfloat16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "steps_per_print": 2**31,
    }


def with_deepspeed(settings: DeepSpeedSettings) -> Callable[[nn.Module, TrainingPlan], "DeepSpeedBackend"]:
    """What `train` takes as its back-end."""
    return lambda model, plan: DeepSpeedBackend(model, plan, settings)


class _Forward(nn.Module):
    """Runs a function of the model inside a module's forward, where ZeRO 3 gathers the weights it touches."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, function: Callable[[nn.Module, Any], Any], argument: Any) -> Any:
        return function(self.inner, argument)


class DeepSpeedBackend:
    """One process of a DeepSpeed run; torch.distributed must be started (torchrun's variables are enough)."""

    # Every stage makes its moments in the first step.
    loads_after_trial = True

    def __init__(self, model: nn.Module, plan: TrainingPlan, settings: DeepSpeedSettings) -> None:
        import deepspeed

        device = next(model.parameters()).device
        deepspeed.init_distributed("nccl" if device.type == "cuda" else "gloo")
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self._plan, self._settings = plan, settings
        # The caller's model stays whole and in float32.
        inner = copy.deepcopy(model)
        for buffer in inner.buffers():
            # DeepSpeed rounds the weights and leaves the rotation tables.
            buffer.data = buffer.data.to(getattr(torch, plan.dtype))
        if plan.compile:
            compile_decoders(inner)
        wrapped = _Forward(inner)
        optimizer = AdamW(parameter_groups(inner, plan.weight_decay), lr=plan.peak_lr, betas=plan.betas, eps=plan.eps)
        engine, wrapper, _, _ = deepspeed.initialize(
            model=wrapped, optimizer=optimizer, config=deepspeed_config(plan, settings, self.world_size)
        )
        # DeepSpeed's types name neither what the stages add nor what they always have.
        self._engine: Any = engine
        self._optimizer: Any = wrapper
        self._adam: Any = getattr(wrapper, "optimizer", wrapper)
        self._whole = settings.zero_stage == 0 and plan.dtype == "float32"
        # DeepSpeed takes its float32 weights from the rounded ones.
        self._load_weights(((name, parameter.detach()) for name, parameter in model.named_parameters()))

    @property
    def model(self) -> nn.Module:
        inner: nn.Module = self._engine.module.inner
        return inner

    def accumulate(self, objective: Objective, parts: Sequence[Batch], counts: dict[str, int]) -> dict[str, float]:
        totals: dict[str, Tensor] = {}
        for index, part in enumerate(parts):
            sums = self._engine(objective.sums, part)
            loss = weighted(objective, sums, counts)
            if loss is None:
                raise ValueError("on DeepSpeed every micro-batch needs something to train: use fewer, larger ones")
            # DeepSpeed divides by processes and micro-batches; the counts are those of the global batch already.
            self._engine.backward(loss * (self.world_size * len(parts)))
            if index + 1 < len(parts):
                self._engine.step()
            add_sums(totals, sums)
        for total in totals.values():
            dist.all_reduce(total)
        return means(totals, counts)

    def update(self, learning_rate: float) -> float:
        set_learning_rate(self._optimizer.param_groups, learning_rate)
        norm = self._whole_norm() if self._whole else None
        self._engine.step()
        if norm is None:
            norm = self._engine.get_global_grad_norm()
        return float(norm)

    def discard_gradients(self) -> None:
        """Takes the step with a learning rate of 0 and clears the moments; only before the first step."""
        self.update(0.0)
        for state in self._adam.state.values():
            for tensor in state.values():
                tensor.zero_()

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters
        from deepspeed.utils import safe_get_full_fp32_param

        for name, parameter in self.model.named_parameters():
            if self._whole or not parameter.requires_grad:
                with GatheredParameters([parameter]):
                    yield name, parameter.detach().float().cpu().clone()
            else:
                yield name, _present(safe_get_full_fp32_param(parameter)).cpu()

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        from deepspeed.utils import safe_get_full_optimizer_state

        self._link_moments()
        steps = max(float(state["step"]) for state in self._adam.state.values())
        trained = [(name, each) for name, each in self.model.named_parameters() if each.requires_grad]
        for name, parameter in trained:
            for key in ("exp_avg", "exp_avg_sq"):
                if self._whole:
                    yield f"{name}.{key}", self._adam.state[parameter][key].cpu()
                else:
                    yield f"{name}.{key}", _present(safe_get_full_optimizer_state(parameter, key)).cpu()
            yield f"{name}.step", torch.tensor(steps)

    def load(self, weights: Iterable[tuple[str, Tensor]], moments: Iterable[tuple[str, Tensor]]) -> None:
        self._load_weights(weights)
        self._load_moments(moments)

    def _load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters
        from deepspeed.utils import safe_set_full_fp32_param

        parameters = dict(self.model.named_parameters())
        for name, tensor in weights:
            parameter = parameters[name]
            with torch.no_grad(), GatheredParameters([parameter], modifier_rank=0):
                parameter.copy_(tensor)
            if not self._whole and parameter.requires_grad:
                safe_set_full_fp32_param(parameter, tensor.to(parameter.device))

    def _load_moments(self, moments: Iterable[tuple[str, Tensor]]) -> None:
        from deepspeed.utils import safe_set_full_optimizer_state

        parameters, steps = dict(self.model.named_parameters()), set[float]()
        self._link_moments()
        for name, tensor in moments:
            owner, _, key = name.rpartition(".")
            if key == "step":
                steps.add(float(tensor))
            elif self._whole:
                self._adam.state[parameters[owner]][key].copy_(tensor)
            else:
                safe_set_full_optimizer_state(parameters[owner], tensor.to(parameters[owner].device), key)
        if len(steps) != 1:
            raise ValueError(
                f"DeepSpeed counts one number of updates for all parameters, the state has {sorted(steps)}"
            )
        for state in self._adam.state.values():
            state["step"].fill_(next(iter(steps)))

    def copy_to(self, model: nn.Module) -> None:
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, tensor in self.weights():
                parameters[name].copy_(tensor)

    def _whole_norm(self) -> Tensor:
        """The gradient's norm at stage 0, where DeepSpeed clips but does not tell."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)

    def _link_moments(self) -> None:
        # DeepSpeed links moments to parameters after the first group's first step, when later groups have none yet.
        if hasattr(self._optimizer, "_lazy_init_hp_params_optimizer_state"):
            self._optimizer._hp_optimizer_states_linked = False
            self._optimizer._lazy_init_hp_params_optimizer_state()


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None, "DeepSpeed lost track of a parameter"
    return tensor
