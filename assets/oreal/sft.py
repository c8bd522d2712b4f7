"""The start of reinforcement learning: fine-tuned until it is good enough and still makes mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from assets.oreal.config import SftConfig
from assets.oreal.look import Look

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from models.architecture.decoder import Decoder
    from models.training.examples import Examples


def solved_examples(rows: Iterable[tuple[str, str, str]], tokenizer: PreTrainedTokenizerFast) -> Examples:
    """Each (id, question, solution) as a conversation whose answer is trained. Raises `chat.Refused`."""
    from models.training.chat import render
    from models.training.examples import build_examples

    return build_examples(
        (name, [render(tokenizer, [{"role": "user", "content": asked}, {"role": "assistant", "content": solution}])])
        for name, asked, solution in rows
    )


def better(one: Look, other: Look | None, config: SftConfig) -> bool:
    """Whether a policy is the better start: within the bounds of accuracy the one with more problems of 0 < p < 1, else
    the one nearer to the bounds (specification of ChainArith; the bounds are config)."""
    if other is None:
        return True
    distances = [max(config.accuracy_low - each.accuracy, each.accuracy - config.accuracy_high, 0.0)
                 for each in (one, other)]  # fmt: skip
    return distances[0] < distances[1] or (distances[0] == distances[1] and one.informative > other.informative)


def train_until_useful(
    train: Callable[[int], Decoder],
    look: Callable[[Decoder], Look],
    keep: Callable[[Decoder], None],
    config: SftConfig,
    looks_file: Path,
) -> tuple[Sequence[tuple[int, Look]], int]:
    """Trains part by part, looks after each, and ends beyond the upper bound; all looks, and the step that is kept.

    `train(step)` answers the policy after so many steps. A look that was written is not taken again.
    """
    looks: list[tuple[int, Look]] = []
    if looks_file.exists():
        looks = [(step, Look(**found)) for step, found in json.loads(looks_file.read_text())]
    best = _best(looks, config)
    for step in range(config.select_every, config.steps + 1, config.select_every):
        if looks and looks[-1][1].accuracy > config.accuracy_high:
            break
        if step <= (looks[-1][0] if looks else 0):
            continue
        policy = train(step)
        found = look(policy)
        if better(found, best[1] if best else None, config):
            keep(policy)
            best = step, found
        looks.append((step, found))
        unfinished = looks_file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps([(number, asdict(each)) for number, each in looks]))
        unfinished.rename(looks_file)
    assert best is not None
    return looks, best[0]


def _best(looks: Sequence[tuple[int, Look]], config: SftConfig) -> tuple[int, Look] | None:
    best: tuple[int, Look] | None = None
    for step, found in looks:
        if better(found, best[1] if best else None, config):
            best = step, found
    return best
