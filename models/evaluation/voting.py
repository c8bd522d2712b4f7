"""One answer out of many: by the most votes (maj@k), by the weight of the votes, or by the best score.

Answers are compared as text, so write equal answers equally before. None is a sample without an answer: it has no vote.
"""

from __future__ import annotations

from collections.abc import Sequence


def majority_vote(answers: Sequence[str | None]) -> str | None:
    """The most frequent answer, of equally frequent ones the first seen; None where no sample has an answer.

    maj@k is the share of problems whose first `k` answers vote for a right one.
    """
    return weighted_vote(answers, [1.0] * len(answers))


def weighted_vote(answers: Sequence[str | None], weights: Sequence[float]) -> str | None:
    """The answer whose samples weigh most together (as by a reward model's scores), of equals the first seen.

    Weights are at least 0: a sum of others says little. Raises ValueError for a weight below 0, or none for an answer.
    """
    if any(not weight >= 0 for weight in weights):
        raise ValueError("a vote weighs at least 0: map the scores to probabilities or shift them first")
    totals: dict[str, float] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            totals[answer] = totals.get(answer, 0.0) + weight
    # max keeps the first of equals, and a dict the order in which answers were seen.
    return max(totals, key=totals.__getitem__, default=None)


def best_of(answers: Sequence[str | None], scores: Sequence[float]) -> str | None:
    """The answer of the sample with the highest score, of equals the first; samples without an answer are passed over.

    Raises ValueError when there is not one score for each answer.
    """
    scored = [(score, answer) for answer, score in zip(answers, scores, strict=True) if answer is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None
