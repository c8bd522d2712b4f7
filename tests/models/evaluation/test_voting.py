"""One answer out of many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.voting import best_of, majority_vote, weighted_vote

ANSWERS = st.lists(st.sampled_from(["1", "2", "3", None]), max_size=12)


def test_ties_go_to_the_first_seen() -> None:
    """The result depends on the order of samples alone, never on that of hashes."""
    assert majority_vote(["b", "a", "a", "b"]) == "b"
    assert majority_vote(["a", "b", "b", "a"]) == "a"


def test_samples_without_an_answer_do_not_vote() -> None:
    """Three samples that say nothing do not outvote one that answers."""
    assert majority_vote([None, None, "7", None]) == "7"
    assert majority_vote([None, None]) is None
    assert majority_vote([]) is None
    assert best_of([None, "7"], [9.0, 1.0]) == "7"
    assert best_of([None], [1.0]) is None


def test_weights_and_scores_decide() -> None:
    """A weighted vote adds scores up, best-of looks at the highest one."""
    answers, scores = ["a", "b", "b"], [0.5, 0.3, 0.3]
    assert weighted_vote(answers, scores) == "b"
    assert best_of(answers, scores) == "a"


@given(ANSWERS)
def test_the_majority_is_the_most_frequent(answers: list[str | None]) -> None:
    """No answer is more frequent than the voted one, whatever the order."""
    given_answers = [answer for answer in answers if answer is not None]
    voted = majority_vote(answers)
    assert (voted is None) == (not given_answers)
    assert all(given_answers.count(other) <= given_answers.count(str(voted)) for other in given_answers)


def test_weights_must_be_votes() -> None:
    """A weight below 0 would turn more votes into fewer; missing weights would drop samples silently."""
    with pytest.raises(ValueError, match="at least 0"):
        weighted_vote(["a"], [-1.0])
    with pytest.raises(ValueError, match="shorter"):
        weighted_vote(["a", "b"], [1.0])
