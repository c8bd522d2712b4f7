"""The training loop: from a starting model and a source of batches to a trained model, exactly resumable."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.utils import deterministic as deterministic_settings

from models.architecture.decoder import Decoder
from models.training.backend import Backend, TorchBackend, share_of
from models.training.checkpoint import (
    ResumeRefused,
    Retention,
    TrainerState,
    newest_state,
    restore_rng,
    rng_state,
    save_state,
    weights_digest,
)
from models.training.guards import StopRequest, listening_for_stop, require_healthy
from models.training.memory import peak_memory, preflight
from models.training.objectives import PRETRAIN, Objective, Source
from models.training.plan import StepRecord, TrainingFailed, TrainingPlan, TrainingReport, TrainingStopped


@dataclass(frozen=True)
class Run:
    """The parts of a run that do not change while it goes on."""

    backend: Backend
    source: Source
    objective: Objective
    plan: TrainingPlan
    last_step: int
    state_folder: Path
    device: torch.device
    on_step: Callable[[StepRecord], None]


def train(
    model: nn.Module,
    source: Source,
    plan: TrainingPlan,
    state_folder: Path,
    data_digest: str,
    on_step: Callable[[StepRecord], None] | None = None,
    objective: Objective = PRETRAIN,
    backend: Callable[[nn.Module, TrainingPlan], Backend] = TorchBackend,
    until: int | None = None,
) -> TrainingReport:
    """Trains `model` in place and reports what was done.

    `model` is the starting model in float32, also when resuming: a valid state in `state_folder` is loaded over it
    and the run goes on after its step. `data_digest` must cover all that the source reads. `on_step` is called after
    every step, in the process of rank 0 only.

    `until` ends the call after so many of the plan's steps, with the state saved; later calls go on from there, each
    with the source of its own steps and all with one `data_digest`. Together they are one run, bit for bit.

    Raises ValueError when source, model and plan do not fit, StreamTooShort when the source is too short for the
    plan, ResumeRefused when the saved state is of another run or beyond `until`, TrainingStopped after saving when
    SIGTERM came, and TrainingFailed when a loss or gradient is not finite or rose beyond the plan's bound, a batch has
    nothing to train, or what was done is not what was planned.
    """
    last_step = plan.steps if until is None else until
    require_fit(model, source, plan, last_step)
    starting_digest = weights_digest(model)
    identity = run_identity(model, objective, plan, data_digest, starting_digest)
    device = next(model.parameters()).device
    with _reproducible(plan, device), listening_for_stop() as stop:
        run = Run(
            backend(model, plan), source, objective, plan, last_step, state_folder, device,
            on_step or (lambda record: None),
        )  # fmt: skip
        saved = newest_state(state_folder, identity)
        if saved and saved.state.step > last_step:
            raise ResumeRefused(
                f"{saved.folder} has done {saved.state.step} steps, more than the {last_step} asked for: ask for no "
                "fewer, or start anew in another state folder"
            )
        # Of the calls of a run that is taken in parts, the first has tried it.
        tried = saved is not None and (until is not None or saved.state.step == last_step)
        if not tried or run.backend.loads_after_trial:
            preflight(run.backend, source, objective, plan, device)
        if saved:
            run.backend.load(saved.weights(), saved.moments())
            restore_rng(saved.state.rng)
        state = saved.state if saved else TrainerState(identity, 0, 0, {}, 0.0, 0.0, [], rng_state())
        resumed_from = state.step if saved else None
        _take_steps(run, state, stop)
        run.backend.copy_to(model)
    report = TrainingReport(
        steps=state.step,
        tokens_seen=state.tokens_seen,
        counts=state.counts,
        losses=state.losses,
        weights_changed=weights_digest(model) != starting_digest,
        seconds=state.seconds,
        resumed_from=resumed_from,
        peak_memory_bytes=peak_memory(device),
    )
    _require_done(report, source, plan, last_step)
    return report


def _take_steps(run: Run, state: TrainerState, stop: StopRequest) -> None:
    """Takes the steps from `state.step` to the run's last, updating the state and saving it."""
    plan, last_saved = run.plan, state.step
    while state.step < run.last_step:
        record = _take_step(run, state)
        between_periods = state.step % run.source.update_period == 0
        stopping = between_periods and _any_process(stop.signal is not None, run)
        due = between_periods and state.step - last_saved >= plan.checkpoint_every
        # Told before it is saved: a step whose state is kept is never taken again, and would not be told any more.
        if run.backend.rank == 0:
            run.on_step(record)
        if due or stopping or state.step == run.last_step:
            _save(run, state)
            last_saved = state.step
        if stopping and state.step < run.last_step:
            raise TrainingStopped(
                f"asked to end: saved after step {state.step} of {plan.steps} in {run.state_folder}; "
                "start it again to go on from there"
            )


def _take_step(run: Run, state: TrainerState) -> StepRecord:
    """Takes one step and counts it in the state."""
    begun = time.perf_counter()
    plan, backend, objective = run.plan, run.backend, run.objective
    batch = run.source.batch(state.step, backend.model).to(run.device)
    counts = objective.counts(batch)
    if not any(counts[name] for name in objective.coefficients):
        raise TrainingFailed(f"step {state.step}: a batch has nothing to train: every target in it is masked")
    means = backend.accumulate(objective, share_of(batch, backend, plan.accumulation), counts)
    loss = sum(coefficient * means.get(name, 0.0) for name, coefficient in objective.coefficients.items())
    rate = plan.learning_rate(state.step)
    norm = backend.update(rate)
    row_ids = partial(run.source.row_ids, batch)
    require_healthy(state.step, loss, norm, state.losses, plan.max_loss_rise, row_ids, run.state_folder)
    seconds = time.perf_counter() - begun
    state.step += 1
    state.learning_rate = rate
    state.tokens_seen += batch.n_tokens
    state.counts = {name: state.counts.get(name, 0) + count for name, count in counts.items()}
    state.seconds += seconds
    state.losses.append(loss)
    return StepRecord(
        state.step - 1, loss, rate, norm, state.tokens_seen, batch.n_tokens / seconds, means, peak_memory(run.device)
    )


def _save(run: Run, state: TrainerState) -> None:
    """Saves the state in the process of rank 0; the others give their share of the tensors and wait."""
    state.rng = rng_state()
    weights, moments = run.backend.weights(), run.backend.moments()
    if run.backend.rank == 0:
        save_state(run.state_folder, state, weights, moments, Retention(run.plan.keep_last, run.plan.keep_every))
    else:
        for _ in (*weights, *moments):
            pass
    if run.backend.world_size > 1:
        dist.barrier()


def _any_process(flag: bool, run: Run) -> bool:
    """Whether the flag is set in any process, so that all of them decide alike."""
    if run.backend.world_size == 1:
        return flag
    asked = torch.tensor(float(flag), device=run.device)
    dist.all_reduce(asked, op=dist.ReduceOp.MAX)
    return bool(asked.item())


def run_identity(
    model: nn.Module, objective: Objective, plan: TrainingPlan, data_digest: str, starting_digest: str
) -> dict[str, object]:
    """All that a saved state must share with a run that goes on from it."""
    identity: dict[str, object] = {"data_digest": data_digest, "starting_weights": starting_digest}
    for name, module in model.named_modules():
        if isinstance(module, Decoder):
            identity |= {f"model.{name}{'.' if name else ''}{key}": v for key, v in asdict(module.config).items()}
    identity |= {f"plan.{key}": value for key, value in plan.identity().items()}
    identity |= {"objective": objective.name} | {f"objective.{key}": v for key, v in objective.identity.items()}
    return identity | {f"objective.coefficient.{key}": value for key, value in objective.coefficients.items()}


@contextmanager
def _reproducible(plan: TrainingPlan, device: torch.device) -> Iterator[None]:
    """Sets threads, seed and deterministic kernels for a run, and puts the caller's back."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    filling = deterministic_settings.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        torch.set_num_threads(plan.threads)
        if device.type == "cpu":
            # On a GPU deterministic kernels cost speed and need settings from before the process began. Filling
            # every new tensor, which torch does by default in this mode, is a search aid and not free.
            torch.use_deterministic_algorithms(True)
            deterministic_settings.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)
            deterministic_settings.fill_uninitialized_memory = filling  # type: ignore[attr-defined]


def require_fit(model: nn.Module, source: Source, plan: TrainingPlan, last_step: int) -> None:
    """Raises ValueError, and StreamTooShort, when the three cannot make a run of `last_step` steps."""
    if not 0 < last_step <= plan.steps:
        raise ValueError(f"the run can be taken until a step from 1 to the plan's {plan.steps}, not {last_step}")
    planned, given = (plan.batch_rows, plan.sequence_length), source.batch_shape
    if given is not None and planned != given:
        raise ValueError(f"the plan has batches of {planned} rows and tokens, the source of {given}; make them equal")
    for module in model.modules():
        if isinstance(module, Decoder) and plan.sequence_length > module.config.max_length:
            raise ValueError(
                f"rows of {plan.sequence_length} tokens exceed the model's max_length of {module.config.max_length}"
            )
    if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
        raise ValueError("the starting model must be float32 (`model.float()`); plan.dtype sets the compute dtype")
    source.require(last_step)


def _require_done(report: TrainingReport, source: Source, plan: TrainingPlan, last_step: int) -> None:
    planned = last_step * plan.batch_rows * plan.sequence_length
    tokens = report.tokens_seen if source.batch_shape is None else planned
    facts = {
        f"{report.steps} steps were done of {last_step} planned": report.steps == last_step,
        f"{report.tokens_seen} tokens were seen of {tokens} planned": report.tokens_seen == tokens > 0,
        f"{len(report.losses)} losses were kept for {last_step} steps": len(report.losses) == last_step,
        "a loss is not finite": all(map(math.isfinite, report.losses)),
        "no weight changed": report.weights_changed,
    }
    failures = [message for message, holds in facts.items() if not holds]
    if failures:
        raise TrainingFailed(f"the run is not what was planned: {'; '.join(failures)}")
