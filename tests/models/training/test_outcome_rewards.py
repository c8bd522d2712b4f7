"""Weights of answers and tokens, against enumeration and closed forms."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.training.outcome_rewards import (
    SHAPINGS,
    best_of_n_law,
    grpo_advantages,
    one_minus_p,
    rloo_advantages,
    token_weights,
)
from models.training.ppo import kl_sums

POLICY = np.array([0.3, 0.05, 0.25, 0.1, 0.2, 0.1])
RIGHT = np.array([False, True, False, True, True, False])
OUTCOMES = st.lists(st.booleans(), min_size=2, max_size=12).filter(lambda each: 0 < sum(each) < len(each))


def picked(policy: NDArray[np.float64], right: NDArray[np.bool_], n: int) -> NDArray[np.float64]:
    """The law of best-of-n by going through all draws of n answers, ties shared equally."""
    law = np.zeros(len(policy))
    for draws in itertools.product(range(len(policy)), repeat=n):
        best = [each for each in draws if right[each]] or list(draws)
        for each in best:
            law[each] += policy[list(draws)].prod() / len(best)
    return law


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_law_of_best_of_n_is_what_draws_give(n: int) -> None:
    """The formula of the paper is the enumerated law, and sums to 1."""
    law = best_of_n_law(POLICY, RIGHT, n)
    assert law.sum() == pytest.approx(1)
    np.testing.assert_allclose(law, picked(POLICY, RIGHT, n))


def test_right_picks_do_not_depend_on_n() -> None:
    """Lemma 2.1: among right answers the picks of any n have the policy's own proportions."""
    expected = POLICY[RIGHT] / POLICY[RIGHT].sum()
    for n in (1, 4, 16):
        law = best_of_n_law(POLICY, RIGHT, n)[RIGHT]
        np.testing.assert_allclose(law / law.sum(), expected)
    with pytest.raises(ValueError, match="both have a probability"):
        best_of_n_law(POLICY, np.ones(6, dtype=bool), 4)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_one_minus_p_by_differentiation(n: int) -> None:
    """d/dtheta log pi_bon over picks: the mean gradient of wrong answers enters by n (1-p)^n, as in the paper.

    That of right ones by n p (1-p)^(n-1): the paper's factor lacks the p.
    """
    theta = torch.tensor(np.log(POLICY), requires_grad=True)
    right = torch.from_numpy(RIGHT)

    def gradient(value: torch.Tensor) -> torch.Tensor:
        (found,) = torch.autograd.grad(value, theta, retain_graph=True)
        return found

    policy = theta.softmax(0)
    p = policy[right].sum()
    law = policy * torch.where(right, (1 - (1 - p) ** n) / p, (1 - p) ** (n - 1))
    scores = law.detach() * law.log()
    p_value = p.item()
    for side, share, factor in (
        (right, p_value, n * p_value * (1 - p_value) ** (n - 1)),
        (~right, 1 - p_value, n * (1 - p_value) ** n),
    ):
        mean_gradient = gradient((policy.detach() * policy.log())[side].sum()) / share
        torch.testing.assert_close(gradient(scores[side].sum()), factor * mean_gradient)


@given(OUTCOMES)
def test_rloo_in_closed_form(outcomes: list[bool]) -> None:
    """Of rewards +1 and -1: 2K(1-p)/(K-1) and -2Kp/(K-1); positives weigh by 1-p, the reverse of the theory."""
    right, count = np.array(outcomes), len(outcomes)
    p = right.mean()
    expected = np.where(right, 2 * count * (1 - p) / (count - 1), -2 * count * p / (count - 1))
    np.testing.assert_allclose(rloo_advantages(np.where(right, 1.0, -1.0)), expected)
    np.testing.assert_allclose(SHAPINGS["rloo"](right), np.abs(expected))


@given(OUTCOMES)
def test_grpo_standardises(outcomes: list[bool]) -> None:
    """Mean 0 and standard deviation 1, whichever two rewards there are; a prompt without contrast has none."""
    right = np.array(outcomes)
    for rewards in (np.where(right, 1.0, -1.0), right.astype(float)):
        found = grpo_advantages(rewards)
        assert found.mean() == pytest.approx(0, abs=1e-6)
        assert found.std() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(np.abs(found), SHAPINGS["grpo"](right), atol=1e-6)
    assert not grpo_advantages(np.ones(4)).any()


@given(OUTCOMES)
def test_every_shaping_gives_weights_without_sign(outcomes: list[bool]) -> None:
    """What a Trajectory takes: not negative, finite, one per answer."""
    right = np.array(outcomes)
    for weigh in SHAPINGS.values():
        weights = weigh(right)
        assert weights.shape == right.shape
        assert np.isfinite(weights).all()
        assert (weights >= 0).all()
    np.testing.assert_allclose(one_minus_p(right), np.where(right, 1, 1 - right.mean()))
    assert SHAPINGS["reward"](right).tolist() == right.tolist()


def test_one_answer_has_no_baseline() -> None:
    """A division by zero would be a silent nan."""
    with pytest.raises(ValueError, match="needs 2 answers"):
        rloo_advantages(np.ones(1))


def test_token_weights_by_hand() -> None:
    """Running means 2, 0, -1: the code's clip at 0.5 is equation 10 of them; a higher threshold cuts more."""
    scores = np.array([2.0, -2.0, -3.0])
    sigmoid = 1 / (1 + np.exp(-np.array([2.0, 0.0, -1.0])))
    np.testing.assert_allclose(token_weights(scores, True), np.maximum(2 * sigmoid - 1, 0), atol=1e-12)
    np.testing.assert_allclose(token_weights(scores, False), np.maximum(1 - 2 * sigmoid, 0), atol=1e-12)
    cut = np.clip((sigmoid - 0.8) / 0.2, 0, 1)
    np.testing.assert_allclose(token_weights(scores, True, threshold=0.8), cut)
    with pytest.raises(ValueError, match="below 1"):
        token_weights(scores, True, threshold=1.0)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20), st.floats(0, 0.99))
def test_token_weights_are_shares(scores: list[float], threshold: float) -> None:
    """In 0 to 1 for any scores; at 0.5 what speaks for a right answer never does for a wrong one; 0 says nothing."""
    for right in (True, False):
        weights = token_weights(np.array(scores), right, threshold)
        assert ((weights >= 0) & (weights <= 1)).all()
    both = token_weights(np.array(scores), True) * token_weights(np.array(scores), False)
    assert not both.any()
    assert not token_weights(np.zeros(3), True).any()


def test_k3_is_kl_and_never_negative() -> None:
    """Over all tokens, each as often as the policy draws it, the mean of k3 is KL(policy || reference)."""
    policy = torch.tensor([0.7, 0.1, 0.15, 0.05], dtype=torch.float64)
    reference = torch.tensor([0.2, 0.4, 0.3, 0.1], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.bool)
    terms = torch.stack([kl_sums(p.log()[None], q.log()[None], one)[1] for p, q in zip(policy, reference, strict=True)])
    assert (terms >= 0).all()
    torch.testing.assert_close((policy * terms).sum(), (policy * (policy / reference).log()).sum())
