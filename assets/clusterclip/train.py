"""How a decoder is trained on a sampling plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assets.clusterclip.config import TrainConfig

if TYPE_CHECKING:
    from models.training.plan import TrainingPlan


def training_plan(
    config: TrainConfig,
    *,
    steps: int,
    sequence_length: int,
    batch_rows: int,
    seed: int,
    dtype: str,
    threads: int,
) -> TrainingPlan:
    from models.training.plan import TrainingPlan

    return TrainingPlan(
        steps=steps,
        batch_rows=batch_rows,
        sequence_length=sequence_length,
        peak_lr=config.peak_lr,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        seed=seed,
        checkpoint_every=config.checkpoint_every,
        dtype=dtype,
        threads=threads,
    )
