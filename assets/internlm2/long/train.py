"""What the scorer is trained on: documents cut into rows, without the packages that are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.internlm2.long.config import ScorerConfig

if TYPE_CHECKING:
    from models.training.examples import Examples
    from models.training.plan import TrainingPlan


def is_heldout(package: str, share: float) -> bool:
    """Whether nothing of a package is trained on: `share` of all names, by hash."""
    return int(content_id("long scorer", package)[:8], 16) < share * 2**32


def scorer_examples(
    tokens: pl.DataFrame, *, bos: int, eos: int, sequence_length: int, n_tokens: int, seed: int
) -> Examples:
    """Documents (`id`, `tokens`) between `<s>` and `</s>`, cut into rows of `sequence_length`; every row begins with
    `<s>`, as a chunk does when it is scored.

    Taken in an order of the seed's until they hold `n_tokens`, or all of them.
    """
    from models.training.examples import build_examples

    ordered = tokens.sort("id")[np.random.default_rng(seed).permutation(tokens.height)]

    def rows() -> Iterator[tuple[str, Sequence[tuple[list[int], list[bool]]]]]:
        taken = 0
        for name, ids in ordered.select("id", "tokens").iter_rows():
            if taken >= n_tokens:
                return
            content = [*ids, eos]
            for start in range(0, len(content), sequence_length - 1):
                piece = [bos, *content[start : start + sequence_length - 1]]
                taken += len(piece)
                yield name, [(piece, [True] * len(piece))]

    return build_examples(rows())


def scorer_plan(config: ScorerConfig, *, seed: int, dtype: str, threads: int) -> TrainingPlan:
    """Steps over the configured tokens; raises InputError where they fill none."""
    from models.training.plan import TrainingPlan

    steps = config.tokens // (config.sequence_length * config.batch_rows)
    if steps < 1:
        raise InputError(f"{config.tokens} tokens fill no step", "raise tokens, or lower sequence_length or batch_rows")
    return TrainingPlan(
        steps=steps, batch_rows=config.batch_rows, sequence_length=config.sequence_length, peak_lr=config.peak_lr,
        warmup_steps=round(config.warmup_share * steps), weight_decay=config.weight_decay, seed=seed,
        checkpoint_every=config.checkpoint_every, dtype=dtype, threads=threads,
    )  # fmt: skip


def epochs_needed(examples: Examples, plan: TrainingPlan) -> int:
    """Passes that surely fill the plan: packing leaves a row at least half full on average."""
    return max(1, -(-2 * plan.tokens // max(1, len(examples.tokens))))
