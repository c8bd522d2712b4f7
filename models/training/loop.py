"""The training loop: from a starting model and a packed stream to a trained model, exactly resumable."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch.optim import AdamW
from torch.utils import deterministic as deterministic_settings

from models.architecture.decoder import Decoder
from models.training.checkpoint import TrainerState, resume, rng_state, save_state, weights_digest
from models.training.objectives import pretrain
from models.training.packing import PackedBatch, PackedStream
from models.training.plan import StepRecord, TrainingFailed, TrainingPlan, TrainingReport
from models.training.schedule import cosine_with_warmup


def train(
    model: Decoder,
    stream: PackedStream,
    plan: TrainingPlan,
    state_folder: Path,
    data_digest: str,
    on_step: Callable[[StepRecord], None] | None = None,
) -> TrainingReport:
    """Trains `model` in place and reports what was done.

    `model` is the starting model in float32, also when resuming: a valid state in `state_folder` is loaded over it
    and the run goes on after its step. `data_digest` must cover the stream's tokens and draw order. `on_step` is
    called after every step.

    Raises ValueError when stream, model and plan do not fit, StreamTooShort when the stream is too short for the
    plan, ResumeRefused when the saved state is of another run, and TrainingFailed when a loss or gradient is not
    finite, a batch has no token to train, or what was done is not what was planned.
    """
    _require_fit(model, stream, plan)
    starting_digest = weights_digest(model)
    identity: dict[str, object] = {"data_digest": data_digest, "starting_weights": starting_digest}
    identity |= {f"model.{name}": value for name, value in asdict(model.config).items()}
    identity |= {f"plan.{name}": value for name, value in plan.identity().items()}
    optimizer = build_optimizer(model, plan)
    with _reproducible(plan, model.tok_embeddings.weight.device):
        found = resume(state_folder, identity, model, optimizer)
        state = found or TrainerState(identity, 0, 0, 0, 0.0, 0.0, [], rng_state())
        resumed_from = found.step if found else None
        _run(model, optimizer, stream, plan, state, state_folder, on_step or (lambda record: None))
    report = TrainingReport(
        steps=state.step,
        tokens_seen=state.tokens_seen,
        trained_tokens=state.trained_tokens,
        losses=state.losses,
        weights_changed=weights_digest(model) != starting_digest,
        seconds=state.seconds,
        resumed_from=resumed_from,
    )
    _require_done(report, plan)
    return report


def build_optimizer(model: Decoder, plan: TrainingPlan) -> AdamW:
    """AdamW that decays every matrix, embeddings included, and no norm gain."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    gains = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": plan.weight_decay},
        {"params": gains, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=plan.peak_lr, betas=plan.betas, eps=plan.eps, fused=True)


def accumulate_gradients(model: Decoder, working: Decoder, batch: PackedBatch, accumulation: int) -> float:
    """Adds the gradient of the batch's mean loss per trained token to `model`; returns that loss in nats.

    `working` computes it: `model` itself, or its copy in a smaller dtype. Every micro-batch is divided by the trained
    tokens of the whole batch, so that ragged ones weigh by their tokens. Raises TrainingFailed when nothing is
    trained.
    """
    trained = batch.trained_tokens
    if trained == 0:
        raise TrainingFailed("a batch has no token to train: every document in it has a single token")
    loss = 0.0
    for part in batch.split(accumulation):
        nll = pretrain(working, part) / trained
        nll.backward()  # type: ignore[no-untyped-call]
        loss += nll.item()
        if working is not model:
            _move_gradients(working, model)
    return loss


def _run(
    model: Decoder,
    optimizer: AdamW,
    stream: PackedStream,
    plan: TrainingPlan,
    state: TrainerState,
    state_folder: Path,
    on_step: Callable[[StepRecord], None],
) -> None:
    """Takes the steps from `state.step` to the plan's last, updating model, optimizer and state."""
    device = model.tok_embeddings.weight.device
    working = model if plan.dtype == "float32" else copy.deepcopy(model).to(getattr(torch, plan.dtype))
    for step in range(state.step, plan.steps):
        begun = time.perf_counter()
        batch = stream.batch(step).to(device)
        rate = cosine_with_warmup(step, plan.steps, plan.warmup_steps, plan.peak_lr, plan.min_lr_fraction)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = accumulate_gradients(model, working, batch, plan.accumulation)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip_norm).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingFailed(
                f"step {step}: loss {loss}, gradient norm {norm}; lower peak_lr, lengthen the warm-up or look at "
                f"documents {batch.document_ids.min().item()} to {batch.document_ids.max().item()} of the draw order"
            )
        optimizer.step()
        optimizer.zero_grad()
        if working is not model:
            _copy_weights(model, working)
        seconds = time.perf_counter() - begun
        state.step, state.learning_rate = step + 1, rate
        state.tokens_seen += batch.tokens.numel()
        state.trained_tokens += batch.trained_tokens
        state.seconds += seconds
        state.losses.append(loss)
        if state.step % plan.checkpoint_every == 0 or state.step == plan.steps:
            state.rng = rng_state()
            save_state(state_folder, state, model, optimizer)
        on_step(StepRecord(step, loss, rate, norm, state.tokens_seen, batch.tokens.numel() / seconds))


@torch.no_grad()
def _move_gradients(source: Decoder, target: Decoder) -> None:
    for worker, master in zip(source.parameters(), target.parameters(), strict=True):
        if worker.grad is not None:
            gradient = worker.grad.to(master.dtype)
            master.grad = gradient if master.grad is None else master.grad.add_(gradient)
            worker.grad = None


@torch.no_grad()
def _copy_weights(source: Decoder, target: Decoder) -> None:
    for master, worker in zip(source.parameters(), target.parameters(), strict=True):
        worker.copy_(master)


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


def _require_fit(model: Decoder, stream: PackedStream, plan: TrainingPlan) -> None:
    planned, given = (plan.batch_rows, plan.sequence_length), (stream.batch_rows, stream.sequence_length)
    if planned != given:
        raise ValueError(f"the plan has batches of {planned} rows and tokens, the stream of {given}; make them equal")
    if plan.sequence_length > model.config.max_length:
        raise ValueError(
            f"rows of {plan.sequence_length} tokens exceed the model's max_length of {model.config.max_length}"
        )
    if model.tok_embeddings.weight.dtype != torch.float32:
        raise ValueError("the starting model must be float32 (`model.float()`); plan.dtype sets the compute dtype")
    stream.require(plan.steps)


def _require_done(report: TrainingReport, plan: TrainingPlan) -> None:
    facts = {
        f"{report.steps} steps were done of {plan.steps} planned": report.steps == plan.steps,
        f"{report.tokens_seen} tokens were seen of {plan.tokens} planned": report.tokens_seen == plan.tokens,
        f"{len(report.losses)} losses were kept for {plan.steps} steps": len(report.losses) == plan.steps,
        "a loss is not finite": all(map(math.isfinite, report.losses)),
        "no weight changed": report.weights_changed,
    }
    failures = [message for message, holds in facts.items() if not holds]
    if failures:
        raise TrainingFailed(f"the run is not what was planned: {'; '.join(failures)}")
