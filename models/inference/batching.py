"""Continuous batching: as one sequence ends, the next one takes its slot.

Token ids in, token ids out: nothing here knows text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.inference.decoding import DecodingModel
from models.inference.drawing import draw, kept_tokens
from models.inference.engine import FinishReason


class Watch(Protocol):
    """Follows one sequence token by token, and may forbid tokens or end it."""

    def allowed(self) -> NDArray[np.bool_] | None:
        """The tokens [V] that may come next; None for all."""
        ...

    def ended_by(self, token: int) -> bool:
        """Takes the next token; whether the sequence ends with it."""
        ...


@dataclass(eq=False)
class Draft:
    """One answer to be: its prompt, how its tokens are drawn, and what was drawn so far.

    `noise` has a number in [0, 1) for each of at most `max_new_tokens` tokens. Sequences of one `group` have the same
    prompt, which is read once where they begin together.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    noise: Sequence[float]
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop_ids: frozenset[int] = frozenset()
    watch: Watch | None = None
    group: object = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason = "length"

    @property
    def cut(self) -> bool:
        """Whether some tokens cannot be drawn."""
        return self.watch is not None or (self.temperature > 0 and (self.top_k > 0 or self.top_p < 1))

    @property
    def ended(self) -> bool:
        return self.finish_reason == "stop" or len(self.tokens) == self.max_new_tokens

    def take(self, token: int, logprob: float) -> None:
        """Takes a token, with which the sequence may end."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if token in self.stop_ids or (self.watch is not None and self.watch.ended_by(token)):
            self.finish_reason = "stop"


class Active:
    """The sequences that are going on, as the tensors that a step needs: one row each."""

    def __init__(self, sequences: Sequence[Draft], slots: Sequence[int], device: torch.device) -> None:
        self.sequences = list(sequences)
        self.slots = torch.tensor(slots, dtype=torch.int64, device=device)
        self.places = torch.tensor(
            [len(each.prompt) + len(each.tokens) - 1 for each in sequences], dtype=torch.int64, device=device
        )
        self.temperature = torch.tensor([each.temperature for each in sequences], dtype=torch.float32, device=device)
        self._cut = [row for row, each in enumerate(sequences) if each.cut]

    def draw(self, model: DecodingModel, logits: Tensor) -> tuple[list[int], list[float], Tensor]:
        """The next token and its logprob for every row."""
        ahead = [each.noise[len(each.tokens)] for each in self.sequences]
        noise = torch.tensor(ahead, dtype=torch.float64, device=logits.device)
        tokens, logprobs = model.draw(logits, self.temperature, noise)
        if self._cut:
            rows = torch.tensor(self._cut, device=logits.device)
            kept = self._kept(logits[rows], rows)
            tokens[rows], logprobs[rows] = draw(logits[rows], self.temperature[rows], noise[rows], kept)
        return tokens.tolist(), logprobs.tolist(), tokens

    def _kept(self, logits: Tensor, rows: Tensor) -> Tensor:
        cut = [self.sequences[row] for row in self._cut]
        top_k = torch.tensor([each.top_k for each in cut], device=logits.device)
        top_p = torch.tensor([each.top_p for each in cut], dtype=torch.float64, device=logits.device)
        allowed = None
        masks = [each.watch.allowed() if each.watch else None for each in cut]
        if any(mask is not None for mask in masks):
            everything = np.ones(logits.shape[1], dtype=bool)
            stacked = np.stack([everything if mask is None else mask for mask in masks])
            allowed = torch.from_numpy(stacked).to(logits.device)
        return kept_tokens(logits, self.temperature[rows], top_k, top_p, allowed)


def decode(model: DecodingModel, sequences: Iterable[Draft]) -> Iterator[Draft]:
    """Each sequence when it has ended, in any order; they are taken as slots come free.

    New ones begin when an eighth of the slots is free (our default: reading few prompts at a time costs more than the
    slots that wait).
    """
    waiting = iter(sequences)
    free = list(range(model.slots))[::-1]
    going: dict[int, Draft] = {}
    exhausted = False
    device = model.decoder.output.weight.device
    active: Active | None = None
    tokens = torch.empty(0, dtype=torch.int64)
    while going or not exhausted:
        if not exhausted and (not going or len(free) >= max(1, model.slots // 8)):
            new = list(islice(waiting, len(free)))
            exhausted = len(new) < len(free)
            if new:
                going |= _begin(model, new, [free.pop() for _ in new], device)
                active = None
        elif active is not None:
            logits = model.step(tokens, active.slots, active.places)
            active.places += 1
            drawn, logprobs, tokens = active.draw(model, logits)
            for each, token, logprob in zip(active.sequences, drawn, logprobs, strict=True):
                each.take(token, logprob)
        ended = [slot for slot, each in going.items() if each.ended]
        for slot in ended:
            free.append(slot)
            yield going.pop(slot)
        if going and (ended or active is None):
            active = Active(list(going.values()), list(going), device)
            tokens = torch.tensor([each.tokens[-1] for each in active.sequences], device=device)


def _begin(model: DecodingModel, new: Sequence[Draft], slots: Sequence[int], device: torch.device) -> dict[int, Draft]:
    """Reads the prompts into the slots, each group's once, and draws the first tokens."""
    groups: dict[object, list[int]] = {}
    for index, each in enumerate(new):
        groups.setdefault(index if each.group is None else each.group, []).append(index)
    leaders = [members[0] for members in groups.values()]
    read = model.prefill([new[leader].prompt for leader in leaders], [slots[leader] for leader in leaders])
    logits = read.new_empty(len(new), read.shape[1])
    for row, (leader, *others) in zip(read, groups.values(), strict=True):
        logits[[leader, *others]] = row
        if others:
            model.copy(slots[leader], [slots[index] for index in others], len(new[leader].prompt))
    drawn, logprobs, _ = Active(new, slots, device).draw(model, logits)
    for each, token, logprob in zip(new, drawn, logprobs, strict=True):
        each.take(token, logprob)
    return dict(zip(slots, new, strict=True))
