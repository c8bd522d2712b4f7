"""Training a model from an asset: one function, whatever processes do the work.

It is apart from the resource because its code, and that of the loop, counts in a checkpoint's fingerprint, and what is
said of launchers does not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from assets.core.trainer import TrainerResource

if TYPE_CHECKING:
    from torch import nn

    from models.training.data_folder import TokenStream
    from models.training.examples import Examples
    from models.training.objectives import Objective, Source
    from models.training.plan import StepRecord, TrainingPlan, TrainingReport
    from models.training.trajectories import TrajectorySource


def train_model(
    trainer: TrainerResource,
    model: nn.Module,
    data: TokenStream | Examples | TrajectorySource,
    plan: TrainingPlan,
    *,
    objective: Objective,
    state_folder: Path,
    data_digest: str,
    on_step: Callable[[StepRecord], None],
    epochs: int = 1,
    tokenizer_folder: Path | None = None,
    until: int | None = None,
) -> TrainingReport:
    """Trains `model` in place, or goes on from the state in `state_folder`; it comes back on the CPU.

    `on_step` is called while training goes on, and not for steps that an earlier process took. `epochs` counts
    for examples; `tokenizer_folder` has the padding token that a launched reward model needs. `until` ends the call
    after so many of the plan's steps: as in `models.training.loop.train`, later calls get the same starting model and
    `data_digest`. Raises what that does, and InputError when a launched run cannot be described.
    """
    if trainer.launcher != "in_process":
        from assets.core.launching import train_launched

        return train_launched(
            trainer, model, data, plan, objective=objective, state_folder=state_folder, data_digest=data_digest,
            on_step=on_step, epochs=epochs, tokenizer_folder=tokenizer_folder, until=until,
        )  # fmt: skip
    from models.training.data_folder import TokenStream
    from models.training.examples import Examples, PackedExamples
    from models.training.loop import train

    shape = plan.sequence_length, plan.batch_rows
    source: Source
    if isinstance(data, TokenStream):
        source = data.packed(*shape)
    elif isinstance(data, Examples):
        source = PackedExamples(data, *shape, epochs=epochs, seed=plan.seed)
    else:
        source = data
    model.to(trainer.device)
    report = train(model, source, plan, state_folder, data_digest, on_step, objective, until=until)
    model.to("cpu")
    return report
