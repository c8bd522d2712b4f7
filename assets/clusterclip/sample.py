"""The sampler of ClusterClip: which document is drawn when, and how often.

The official repository holds no sampler. This rule is reconstructed from the method figure (official repo
choosewhatulike/cluster-clip:imgs/main-method.png) and secondary accounts, see README.md.

How it works: every cluster has an endless queue of its documents, pass after pass, each pass shuffled anew.
Clusters are drawn uniformly from the active set and give the next document of their queue; after R passes a
cluster leaves the active set. All plans over clusters share their random streams: with one seed, two plans
with different R are equal up to the first removal (paired comparisons gain from it), and a larger budget only
lengthens a plan.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from assets.core.errors import InputError

Plan = Literal["random", "uniform", "clusterclip", "s2g"]
OnExhausted = Literal["raise", "random"]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """Draws in training order; every field has shape `[draws]`."""

    document: Ints
    """Row of the document in the given arrays."""
    cluster: Ints
    """Its cluster label."""
    repetition: Ints
    """1 when this plan draws the document for the first time, 2 for the second, ..."""
    n_tokens: Ints
    """Tokens used: all of the document, fewer only in the one draw that meets the budget."""
    fallback: NDArray[np.bool_]
    """True for draws made at random after every cluster had been removed."""

    def __len__(self) -> int:
        return len(self.document)


def sample_documents(
    cluster: Ints,
    n_tokens: Ints,
    *,
    budget_tokens: int,
    plan: Plan,
    max_repetitions: float = math.inf,
    on_exhausted: OnExhausted = "raise",
    seed: int,
) -> Draws:
    """Draw training documents until exactly `budget_tokens` are used.

    `cluster[N]` and `n_tokens[N]` (≥ 1) describe the training documents, in an order that must be the same
    whenever the plan has to be the same (sort by id). Plans:

    - random: shuffled passes over all documents (baseline);
    - uniform: a cluster uniformly, then its next document; small clusters repeat without limit (baseline);
    - clusterclip: as uniform, but a cluster is removed after R = `max_repetitions` passes (5 by secondary
      accounts of the paper). A pass is without replacement, so this is `tokens drawn / tokens ≥ R`;
    - s2g: the draws of clusterclip in reversed order, from big clusters to balanced (paper's comparison).

    When every cluster is removed before the budget is met, `on_exhausted` decides: "raise" an `InputError`,
    or go on with "random" passes over all documents, marked as `fallback` (our default: raise). R = ∞ equals
    uniform draw by draw.
    """
    _check(cluster, n_tokens, budget_tokens, plan, max_repetitions)
    if plan == "random":
        everything = [np.arange(len(cluster))]
        return _draw(everything, cluster, n_tokens, budget_tokens, math.inf, _stream(seed, "random"))

    capacity = math.inf if math.isinf(max_repetitions) else int(max_repetitions) * int(n_tokens.sum())
    if budget_tokens > capacity and on_exhausted == "raise":
        raise InputError(
            f"the budget of {budget_tokens} tokens is above the capacity of {capacity} tokens: "
            f"{int(n_tokens.sum())} training tokens, each drawn at most {max_repetitions:g} times",
            "lower the budget, raise max_repetitions, or set on_exhausted to 'random'",
        )
    balanced_budget = int(min(budget_tokens, capacity))
    members = _members(cluster)
    draws = _draw(members, cluster, n_tokens, balanced_budget, max_repetitions, _stream(seed, "clusters"))
    if budget_tokens > balanced_budget:
        everything = [np.arange(len(cluster))]
        rest = budget_tokens - balanced_budget
        extra = _draw(everything, cluster, n_tokens, rest, math.inf, _stream(seed, "fallback"))
        draws = _append_fallback(draws, extra, int(max_repetitions))
    return _reversed(draws) if plan == "s2g" else draws


def _check(cluster: Ints, n_tokens: Ints, budget_tokens: int, plan: str, max_repetitions: float) -> None:
    if plan not in get_args(Plan):
        raise InputError(f"unknown plan {plan!r}", f"use one of {', '.join(get_args(Plan))}")
    if cluster.ndim != 1 or cluster.shape != n_tokens.shape or len(cluster) == 0:
        raise InputError(
            f"cluster has shape {cluster.shape}, n_tokens {n_tokens.shape}",
            "give one entry of both per document",
        )
    if n_tokens.min() < 1:
        raise InputError(f"document {int(n_tokens.argmin())} has no tokens", "drop empty documents before sampling")
    if budget_tokens < 1:
        raise InputError(f"the budget is {budget_tokens} tokens", "give a budget of at least one token")
    if plan in ("random", "uniform") and not math.isinf(max_repetitions):
        raise InputError(f"the plan {plan} has no limit on repetitions", "leave max_repetitions out for this plan")
    if not math.isinf(max_repetitions) and (max_repetitions < 1 or max_repetitions != int(max_repetitions)):
        raise InputError(f"max_repetitions is {max_repetitions}", "use a whole number from 1, or infinity")


def _stream(seed: int, name: str) -> np.random.SeedSequence:
    """Independent random streams of one seed, told apart by a name."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.SeedSequence([seed, int.from_bytes(digest[:8], "little")])


def _members(cluster: Ints) -> list[Ints]:
    """Rows of each cluster that has any, clusters by ascending label."""
    order = np.argsort(cluster, kind="stable")
    _, starts = np.unique(cluster[order], return_index=True)
    return np.split(order, starts[1:])


class _Queue:
    """The documents of one cluster, pass after pass; each pass is a fresh permutation."""

    def __init__(self, documents: Ints, seed: np.random.SeedSequence) -> None:
        self._documents = documents
        self._rng = np.random.default_rng(seed)
        self._waiting = documents[:0]

    def take(self, count: int) -> Ints:
        if count > len(self._waiting):
            passes = -(-(count - len(self._waiting)) // len(self._documents))
            shuffled = self._rng.permuted(np.tile(self._documents, (passes, 1)), axis=1)
            self._waiting = np.concatenate([self._waiting, shuffled.ravel()])
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


def _draw(
    members: list[Ints],
    cluster: Ints,
    n_tokens: Ints,
    budget: int,
    max_repetitions: float,
    seed: np.random.SeedSequence,
) -> Draws:
    """Draws from the queues of `members`, in order, until the budget is met exactly.

    Queues are chosen in blocks from the set that is active at the start of the block, and choices of a queue
    that was removed within the block are deleted. This is the exact law: a uniform choice from A, given that
    it is not k, is uniform on A without k.
    """
    choice_seed, queue_seed = seed.spawn(2)
    rng = np.random.default_rng(choice_seed)
    queues = [_Queue(rows, child) for rows, child in zip(members, queue_seed.spawn(len(members)), strict=True)]
    sizes = np.array([len(rows) for rows in members])
    limits = sizes * max_repetitions
    drawn = np.zeros(len(members), dtype=np.int64)
    parts: list[tuple[Ints, Ints, Ints]] = []
    # The block depends on K alone, because neither the budget nor R may change the sequence.
    block = max(1 << 15, 32 * len(members))
    remaining = budget
    while remaining > 0:
        active = np.flatnonzero(drawn < limits)
        choices = active[rng.integers(len(active), size=block)]
        number = drawn[choices] + _occurrence(choices)  # documents this queue gave before, from 0
        kept = number < limits[choices]
        choices, number = choices[kept], number[kept]
        rows = _next_documents(choices, queues)
        used = np.cumsum(n_tokens[rows])
        if used[-1] >= remaining:
            last = int(np.searchsorted(used, remaining))
            rows, number, choices = rows[: last + 1], number[: last + 1], choices[: last + 1]
        tokens = n_tokens[rows].astype(np.int64)
        tokens[-1] -= max(0, int(tokens.sum()) - remaining)
        parts.append((rows, number // sizes[choices] + 1, tokens))
        drawn += np.bincount(choices, minlength=len(members))
        remaining -= int(tokens.sum())
    rows, repetition, tokens = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Draws(rows, cluster[rows].astype(np.int64), repetition, tokens, np.zeros(len(rows), dtype=np.bool_))


def _occurrence(choices: Ints) -> Ints:
    """For each entry, how many equal entries stand before it."""
    order = np.argsort(choices, kind="stable")
    ordered = choices[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(ordered)])
    occurrence = np.empty(len(choices), dtype=np.int64)
    occurrence[order] = np.arange(len(choices)) - np.repeat(starts, lengths)
    return occurrence


def _next_documents(choices: Ints, queues: list[_Queue]) -> Ints:
    """The next document of each chosen cluster's queue, in the order of the choices."""
    order = np.argsort(choices, kind="stable")
    chosen, counts = np.unique(choices, return_counts=True)
    rows = np.empty(len(choices), dtype=np.int64)
    rows[order] = np.concatenate([queues[k].take(int(n)) for k, n in zip(chosen, counts, strict=True)])
    return rows


def _append_fallback(draws: Draws, extra: Draws, passes: int) -> Draws:
    """The fallback's draws behind the others; every document has been drawn `passes` times by then."""
    repetition = extra.repetition + passes
    marked = replace(extra, repetition=repetition, fallback=np.ones(len(extra), dtype=np.bool_))
    return Draws(*(np.concatenate([getattr(draws, f.name), getattr(marked, f.name)]) for f in fields(Draws)))


def _reversed(draws: Draws) -> Draws:
    """The draws from last to first; repetitions count anew, so that 1 is the first in training order."""
    times = np.bincount(draws.document)
    backward = replace(draws, repetition=times[draws.document] + 1 - draws.repetition)
    return Draws(*(getattr(backward, f.name)[::-1] for f in fields(Draws)))


def active_clusters(cluster: Ints, draws: Draws, max_repetitions: float) -> Ints:
    """How many clusters could be drawn at each draw of a clusterclip plan, `[draws]`; 0 in the fallback.

    The drift from balanced to only big clusters in one curve. Reverse it for s2g.
    """
    sizes = np.unique(cluster, return_counts=True)
    label_index = np.searchsorted(sizes[0], draws.cluster)
    passes_done = _occurrence(label_index) + 1 == sizes[1][label_index] * max_repetitions
    removed_before = np.cumsum(passes_done) - passes_done
    return np.asarray(len(sizes[0]) - removed_before, dtype=np.int64)
