"""Pictures of OREAL's assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assets.core.plots import canvas, png

if TYPE_CHECKING:
    from assets.oreal.look import Look

CURVES = ("reward", "accuracy", "informative", "kl", "entropy", "response_length", "weight_right", "weight_wrong")


def plot_looks(looks: Sequence[tuple[int, Look]]) -> bytes:
    """How good the policy was at each look of its fine-tuning."""
    figure, axes = canvas()
    steps = [step for step, _ in looks]
    for name in ("accuracy", "sampled", "informative"):
        axes.plot(steps, [getattr(found, name) for _, found in looks], marker="o", label=name)
    axes.set(xlabel="step", ylim=(0, 1))
    axes.legend()
    return png(figure)


def plot_pass_rates(rates: NDArray[np.float64]) -> bytes:
    """How many problems have which pass rate."""
    figure, axes = canvas()
    axes.hist(rates, bins=np.linspace(0, 1, 18).tolist())
    axes.set(xlabel="share of right samples", ylabel="problems")
    return png(figure)


def plot_curve(records: Sequence[Mapping[str, Any]], name: str) -> bytes:
    """One figure of the record over the iterations."""
    figure, axes = canvas()
    points = [(record["iteration"], record[name]) for record in records if record.get(name) is not None]
    axes.plot([x for x, _ in points], [y for _, y in points], marker="o")
    axes.set(xlabel="iteration", ylabel=name)
    return png(figure)


def plot_accuracy(curves: Mapping[str, Sequence[tuple[int, float]]]) -> bytes:
    """Validation accuracy of every arm over the iterations."""
    figure, axes = canvas()
    for arm, points in curves.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=arm)
    axes.set(xlabel="iteration", ylabel="greedy accuracy")
    axes.legend()
    return png(figure)
