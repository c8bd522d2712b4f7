"""The prompts of a rollout run: which fit, and in what order they are asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prompt:
    """What the policy reads, as token ids, and the preference domain its answer is scored in ("" for none)."""

    id: str
    tokens: tuple[int, ...]
    domain: str = ""


@dataclass(frozen=True)
class DroppedPrompt:
    """A prompt that is never asked, and why."""

    id: str
    reason: str


def fitting(
    prompts: Sequence[Prompt], max_new_tokens: int, max_length: int
) -> tuple[list[Prompt], list[DroppedPrompt]]:
    """The prompts that leave room for a whole response within `max_length` tokens, in order, and the others.

    Raises ValueError for an id that comes twice, and when no prompt fits.
    """
    room = max_length - max_new_tokens
    kept: list[Prompt] = []
    dropped: list[DroppedPrompt] = []
    for prompt in prompts:
        if not prompt.tokens:
            dropped.append(DroppedPrompt(prompt.id, "it has no tokens"))
        elif len(prompt.tokens) > room:
            reason = f"{len(prompt.tokens)} tokens and {max_new_tokens} new ones exceed {max_length}"
            dropped.append(DroppedPrompt(prompt.id, reason))
        else:
            kept.append(prompt)
    if len({prompt.id for prompt in prompts}) < len(prompts):
        raise ValueError("prompt ids must differ, or a rollout cannot be traced to its prompt")
    if not kept:
        raise ValueError(f"none of the {len(prompts)} prompts fits; dropped: {dropped[:3]}")
    return kept, dropped


@dataclass(frozen=True)
class PromptOrder:
    """Prompts in seeded order, without end: every pass over all of them is shuffled anew.

    Iteration i takes the draws i * per_iteration up to (i + 1) * per_iteration: a pure function of seed and i.
    """

    prompts: int
    per_iteration: int
    seed: int

    def indices(self, iteration: int) -> NDArray[np.int64]:
        """Which prompts an iteration asks, int64 [per_iteration]."""
        draws = np.arange(iteration * self.per_iteration, (iteration + 1) * self.per_iteration)
        passes, places = np.divmod(draws, self.prompts)
        orders = {
            number: np.random.default_rng((self.seed, number)).permutation(self.prompts)
            for number in set(passes.tolist())
        }
        return np.array([orders[number][place] for number, place in zip(passes.tolist(), places, strict=True)])


def derived_seed(*parts: int) -> int:
    """A 63-bit seed that depends on every part: neighbouring seeds or iterations share no noise."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
