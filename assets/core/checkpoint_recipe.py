"""The declaration that all assets share whose checkpoint is trained in the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import dagster as dg

from assets.core.checkpoint import CHECKS
from assets.core.recipe import Input, recipe


def checkpoint_recipe(
    key: str,
    *,
    inputs: Mapping[str, Input],
    partitions: dg.PartitionsDefinition | None = None,
    stage: Literal["pretrain", "train"] = "train",
    checks: Sequence[str] = CHECKS,
    resources: Sequence[str] = (),
    external: Callable[..., Mapping[str, Any]] | None = None,
    publishes: str | None = None,
) -> Callable[[Callable[..., None]], dg.AssetsDefinition]:
    """As `recipe`, for a function that trains and publishes a checkpoint: it is given `tracking` and `trainer`, further
    `resources`, and a slot of the pool of trainings."""
    return recipe(
        key,
        inputs=inputs,
        partitions=partitions,
        kind="checkpoint",
        ledger=False,
        external=external,
        resources=("tracking", "trainer", *resources),
        checks=checks,
        publishes=publishes,
        kinds={"pytorch", "mlflow"},
        tags={"stage": stage, "cost": "high"},
        pool="training",
    )
