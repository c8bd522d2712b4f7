"""One training process, from a description on disk to a Hugging Face folder; the same alone and under torchrun."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from models.training.checkpoint import newest_state, weights_digest
from models.training.loop import require_fit, run_identity, train
from models.training.memory import estimate_memory
from models.training.metrics_file import METRICS_FILE, MetricsFile, read_metrics
from models.training.objectives import Objective, Source
from models.training.plan import StepRecord, TrainingReport
from models.training.processes import device_of, from_first, is_first, only_writer, process_group, world_size
from models.training.rollouts import RolloutSource
from models.training.run_description import DeepSpeed, Ppo, RunDescription, RunRefused
from models.training.run_parts import (
    REPORT_FILE,
    load_model,
    load_source,
    make_backend,
    make_objective,
    require_output,
    run_digest,
    save_output,
)
from models.training.run_ppo import ppo_parts


@dataclass(frozen=True)
class RunFacts:
    """What a run is going to do.

    `tokens` is a bound from above for rollouts, whose lengths are not known before. `memory_bytes` is an estimate per
    process, frozen models apart; `resumes_from` is a step, or None.
    """

    steps: int
    tokens: int
    parameters: int
    trained_parameters: int
    processes: int
    memory_bytes: int
    resumes_from: int | None


def run(description: RunDescription, on_step: Callable[[StepRecord], None] | None = None) -> TrainingReport:
    """Trains what is described, or goes on from its state folder, and writes the output folder.

    Under torchrun every process calls this; rank 0 writes metrics.jsonl, states and output, and has its `on_step`
    called. Raises RunRefused, or DataFolderError, before the start, and what `train` raises.
    """
    device = device_of(description)
    with (
        process_group(device, needed=isinstance(description.backend, DeepSpeed)),
        only_writer(description.state) if is_first() else nullcontext(),
    ):
        model, source, objective = _prepare(description)
        digest = str(from_first(run_digest(description) if is_first() else ""))
        metrics = MetricsFile(description.state / METRICS_FILE)

        def note(record: StepRecord) -> None:
            metrics(record)
            if on_step:
                on_step(record)

        backend = make_backend(description)
        report = train(
            model.to(device), source, description.plan, description.state, digest, note, objective, backend,
            description.until,
        )  # fmt: skip
        if is_first():
            lines = read_metrics(metrics.path)
            about = {
                "data_digest": digest,
                "weights_digest": weights_digest(model),
                "processes": world_size(),
                "last_means": lines[-1]["means"] if lines else {},
            }
            if isinstance(source, RolloutSource):
                about["dropped_prompts"] = {each.id: each.reason for each in source.dropped}
            save_output(description, model.cpu(), json.dumps(asdict(report) | about, indent=1))
    return report


def check(description: RunDescription) -> RunFacts:
    """Everything `run` checks before its first step, without training. Raises as `run` does."""
    device_of(description)
    model, source, objective = _prepare(description)
    plan, processes = description.plan, world_size()
    last_step = description.until or plan.steps
    require_fit(model, source, plan, last_step)
    identity = run_identity(model, objective, plan, run_digest(description), weights_digest(model))
    saved = newest_state(description.state, identity)
    return RunFacts(
        steps=last_step,
        tokens=last_step * _largest_tokens(description, source, model),
        parameters=sum(each.numel() for each in model.parameters()),
        trained_parameters=sum(each.numel() for each in model.parameters() if each.requires_grad),
        processes=processes,
        memory_bytes=estimate_memory(model, plan, processes, _zero_stage(description)),
        resumes_from=saved.state.step if saved else None,
    )


def read_report(output: Path) -> TrainingReport:
    """The report in an output folder of `run`."""
    content = json.loads((output / REPORT_FILE).read_text(encoding="utf-8"))
    return TrainingReport(**{name: content[name] for name in TrainingReport.__dataclass_fields__})


def _prepare(description: RunDescription) -> tuple[nn.Module, Source, Objective]:
    plan, parts = description.plan, world_size() * description.plan.accumulation
    if plan.batch_rows % parts:
        raise RunRefused(
            f"plan.batch_rows {plan.batch_rows} must be a multiple of processes x accumulation, {world_size()} x "
            f"{plan.accumulation}; change one of them"
        )
    if isinstance(description.backend, DeepSpeed):
        from models.training.deepspeed_backend import deepspeed_config

        deepspeed_config(plan, description.backend.settings(), world_size())
    require_output(description)
    # What is drawn while the model is built must not depend on what ran before in this process.
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        if isinstance(description.objective, Ppo):
            return ppo_parts(description)
        model = load_model(description)
    return model, load_source(description), make_objective(description, model)


def _largest_tokens(description: RunDescription, source: Source, model: nn.Module) -> int:
    """The most tokens of a step."""
    plan = description.plan
    if source.batch_shape:
        return plan.batch_rows * plan.sequence_length
    return source.heaviest_batch(plan.steps, model).n_tokens


def _zero_stage(description: RunDescription) -> int:
    backend = description.backend
    return backend.zero_stage if isinstance(backend, DeepSpeed) else 0
