"""Figures are PNG bytes, the same for the same data."""

from __future__ import annotations

import numpy as np

from assets.case2code.plots import plot_accuracy, plot_losses

PNG = b"\x89PNG\r\n"


def test_accuracy_of_uneven_arms() -> None:
    """An arm may lack a form of prompt, and have one seed."""
    arms = {"few_shot": {"evaluation": [0.0]}, "diverse": {"evaluation": [0.2, 0.3], "unseen": [0.1, 0.2]}}
    figure = plot_accuracy(arms)
    assert figure.startswith(PNG)
    assert figure == plot_accuracy(arms)
    assert figure != plot_accuracy({"few_shot": {"evaluation": [0.5]}})


def test_losses() -> None:
    """One line per arm."""
    tokens = np.arange(1.0, 5.0)
    assert plot_losses({"single": (tokens, 1 / tokens)}).startswith(PNG)
