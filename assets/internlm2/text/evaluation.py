"""How well a classifier tells bad texts from good ones, on texts that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A chance of one in a hundred that scores of no meaning pass; our default.
SIGNIFICANT = 0.01


@dataclass(frozen=True)
class Quality:
    """Of scores against labels: `auc` is the chance that a bad text scores above a good one, `p_value` that of such an
    AUC without any connection (Mann and Whitney's test); precision and recall of the bad class at the threshold."""

    auc: float
    p_value: float
    precision: float
    recall: float

    @property
    def better_than_chance(self) -> bool:
        return self.p_value < SIGNIFICANT


def evaluate(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> Quality:
    """Quality of scores [texts] for labels [texts] of 1 (bad) and 0; a text is called bad above the threshold."""
    from scipy.stats import mannwhitneyu

    bad, called = labels == 1, scores > threshold
    test = mannwhitneyu(scores[bad], scores[~bad], alternative="greater")
    hits = int((bad & called).sum())
    return Quality(
        auc=float(test.statistic) / (int(bad.sum()) * int((~bad).sum())),
        p_value=float(test.pvalue),
        precision=hits / max(1, int(called.sum())),
        recall=hits / max(1, int(bad.sum())),
    )
