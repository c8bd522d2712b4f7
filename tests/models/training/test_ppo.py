"""The arithmetic of PPO."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.training.ppo import (
    clipped_tokens,
    generalised_advantages,
    kl_sums,
    policy_sum,
    token_rewards,
    value_sum,
)


def responses(seed: int, lengths: list[int], before: list[int], width: int) -> dict[str, Tensor]:
    """Random doubles [B, width]: `before[i]` prompt tokens, `lengths[i]` response tokens and padding in row i."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.arange(width)
    starts, sizes = torch.tensor(before)[:, None], torch.tensor(lengths)[:, None]
    drawn = {
        name: torch.randn(len(lengths), width, generator=generator, dtype=torch.float64)
        for name in ("rewards", "values", "logprobs", "old", "reference", "advantages", "returns")
    }
    return drawn | {"mask": (columns >= starts) & (columns < starts + sizes)}


RAGGED = responses(0, [5, 1, 3, 7], [2, 4, 1, 1], 9)


def advantages_by_the_sum(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """Equation 16 of arXiv 1506.02438 as it stands: a discounted sum of TD residuals, the last value being 0."""
    values = [*values, 0.0]
    residuals = [reward + gamma * values[t + 1] - values[t] for t, reward in enumerate(rewards)]
    return [
        sum((gamma * lam) ** (later - t) * residuals[later] for later in range(t, len(rewards)))
        for t in range(len(rewards))
    ]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.99), (0.9, 0.5), (0.97, 0.0), (1.0, 1.0)])
def test_advantages_are_the_papers_sum(gamma: float, lam: float) -> None:
    """The backward recursion over a padded batch is the published double sum over each response alone."""
    mask = RAGGED["mask"]
    advantages, returns = generalised_advantages(RAGGED["rewards"], RAGGED["values"], mask, gamma, lam)
    for row in range(len(mask)):
        pick = mask[row]
        expected = advantages_by_the_sum(
            RAGGED["rewards"][row, pick].tolist(), RAGGED["values"][row, pick].tolist(), gamma, lam
        )
        assert advantages[row, pick].tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert returns[row, pick].tolist() == pytest.approx((advantages + RAGGED["values"])[row, pick].tolist())
    assert advantages[~mask].abs().sum() == returns[~mask].abs().sum() == 0


def test_advantages_by_hand() -> None:
    """Rewards 1, 0, 2, values 0.5, 1, 1.5, gamma 0.5, lambda 0.5: worked out on paper."""
    rewards, values = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.5, 1.0, 1.5]])
    # Residuals 1 + .5 - .5 = 1, 0 + .75 - 1 = -.25, 2 - 1.5 = .5; advantages .5, -.25 + .125, 1 - .25 * .125.
    advantages, returns = generalised_advantages(rewards, values, torch.ones(1, 3, dtype=torch.bool), 0.5, 0.5)
    torch.testing.assert_close(advantages, torch.tensor([[0.96875, -0.125, 0.5]]))
    torch.testing.assert_close(returns, torch.tensor([[1.46875, 0.875, 2.0]]))


def test_undiscounted_advantage_is_return_minus_value() -> None:
    """At gamma = lambda = 1 the return is the plain sum of the rewards that follow, whatever the critic says."""
    mask = RAGGED["mask"]
    advantages, returns = generalised_advantages(RAGGED["rewards"], RAGGED["values"], mask, 1.0, 1.0)
    following = torch.where(mask, RAGGED["rewards"], 0.0).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns[mask], following[mask])
    torch.testing.assert_close(advantages[mask], (following - RAGGED["values"])[mask])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    left=st.integers(0, 3),
    right=st.integers(0, 4),
)
def test_padding_changes_nothing(seed: int, lengths: list[int], left: int, right: int) -> None:
    """Wherever a response stands and whatever fills the rest, nan included, every sum and advantage is the same."""
    tight = responses(seed, lengths, [1] * len(lengths), 1 + max(lengths))
    mask = torch.nn.functional.pad(tight["mask"], (left, right))
    wide = {
        name: torch.nn.functional.pad(column, (left, right), value=math.nan).masked_fill(~mask, math.nan)
        for name, column in tight.items()
        if name != "mask"
    } | {"mask": mask}
    score = torch.arange(len(lengths), dtype=torch.float64)
    for column in (tight, wide):
        kl = token_rewards(score, column["logprobs"], column["reference"], column["mask"])
        advantages, returns = generalised_advantages(kl, column["values"], column["mask"])
        column["found"] = torch.stack(
            [
                policy_sum(column["logprobs"], column["old"], column["advantages"], column["mask"]),
                value_sum(column["values"], column["returns"], column["mask"]),
                clipped_tokens(column["logprobs"], column["old"], column["mask"]).double(),
                *kl_sums(column["logprobs"], column["reference"], column["mask"]),
                *kl[column["mask"]], *advantages[column["mask"]], *returns[column["mask"]],
            ]
        )  # fmt: skip
    assert torch.equal(tight["found"], wide["found"])


def test_rewards_are_kl_and_the_score_at_the_end() -> None:
    """Every response token pays for leaving the reference; the last gets the score; nothing else gets anything."""
    mask, actor, reference = RAGGED["mask"], RAGGED["logprobs"], RAGGED["reference"]
    score = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
    rewards = token_rewards(score, actor, reference, mask, 0.1)
    for row, last in enumerate([6, 4, 3, 7]):
        for place in range(9):
            expected = -0.1 * (actor - reference)[row, place].item() if mask[row, place] else 0.0
            expected += score[row].item() if place == last else 0.0
            assert rewards[row, place].item() == pytest.approx(expected)


def test_a_response_without_tokens_has_no_reward() -> None:
    """Its score would land on a prompt's token or in the padding: refused instead."""
    nothing = torch.zeros(2, 3)
    mask = torch.tensor([[False, True, True], [False, False, False]])
    with pytest.raises(ValueError, match="without tokens"):
        token_rewards(torch.ones(2), nothing, nothing, mask)


def test_policy_sum_is_the_published_surrogate() -> None:
    """Equation 7 of arXiv 1707.06347, token by token in plain Python, with ratios inside and beyond both clips."""
    mask, clip = RAGGED["mask"], 0.2
    expected, clipped = 0.0, 0
    for new, old, advantage in zip(
        *(RAGGED[name][mask].tolist() for name in ("logprobs", "old", "advantages")), strict=True
    ):
        ratio = math.exp(new - old)
        expected -= min(ratio * advantage, min(max(ratio, 1 - clip), 1 + clip) * advantage)
        clipped += not 1 - clip <= ratio <= 1 + clip
    arguments = [RAGGED[name] for name in ("logprobs", "old")]
    assert policy_sum(*arguments, RAGGED["advantages"], mask, clip).item() == pytest.approx(expected)
    assert 0 < clipped < int(mask.sum())
    assert clipped_tokens(*arguments, mask, clip).item() == clipped


def test_gradient_at_the_old_policy_is_the_policy_gradient() -> None:
    """Where new and old agree, each token's gradient is minus its advantage; outside the mask it is zero."""
    logprobs = RAGGED["old"].clone().requires_grad_()
    policy_sum(logprobs, RAGGED["old"], RAGGED["advantages"], RAGGED["mask"]).backward()
    torch.testing.assert_close(logprobs.grad, torch.where(RAGGED["mask"], -RAGGED["advantages"], 0.0))


@pytest.mark.parametrize(("shift", "sign"), [(0.5, 1.0), (-0.5, -1.0)])
def test_clipped_tokens_stop_pulling(shift: float, sign: float) -> None:
    """A token already moved beyond the clip the way its advantage wants has no gradient; the other way it has."""
    mask = torch.ones(1, 1, dtype=torch.bool)
    for advantage, moves in ((sign, False), (-sign, True)):
        logprob = torch.full((1, 1), shift, requires_grad=True)
        policy_sum(logprob, torch.zeros(1, 1), torch.full((1, 1), advantage), mask).backward()
        assert (logprob.grad.item() != 0) is moves


def test_gradients_are_the_numerical_ones() -> None:
    """Policy and value sums differentiate to what finite differences give."""
    mask = RAGGED["mask"]
    for function, names in (
        (lambda new: policy_sum(new, RAGGED["old"], RAGGED["advantages"], mask), "logprobs"),
        (lambda values: value_sum(values, RAGGED["returns"], mask), "values"),
    ):
        assert torch.autograd.gradcheck(function, RAGGED[names].clone().requires_grad_())


def test_values_are_not_clipped() -> None:
    """The squared error of a value far from its return counts in full, and only inside the mask."""
    values, returns = torch.tensor([[10.0, 5.0, 99.0]]), torch.tensor([[0.0, 4.0, 0.0]])
    assert value_sum(values, returns, torch.tensor([[True, True, False]])).item() == 101.0


def test_kl_estimates_average_to_the_kl() -> None:
    """Weighted by the sampled distribution both estimators are its KL divergence; k3 is never negative."""
    generator = torch.Generator().manual_seed(1)
    ours, other = (torch.randn(1, 50, generator=generator, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    divergence = (ours.exp() * (ours - other)).sum().item()
    found = [0.0, 0.0]
    for token in range(50):
        mask = torch.arange(50)[None] == token
        k1, k3 = kl_sums(ours, other, mask)
        assert k3 >= 0
        found = [sum_ + ours[0, token].exp().item() * k.item() for sum_, k in zip(found, (k1, k3), strict=True)]
    assert found == pytest.approx([divergence, divergence])


def test_kl_of_the_reference_itself_is_zero() -> None:
    """An actor that is the reference pays nothing: the rewards are the score alone."""
    same, mask = RAGGED["logprobs"], RAGGED["mask"]
    assert [k.item() for k in kl_sums(same, same, mask)] == [0.0, 0.0]
    score = torch.ones(4, dtype=torch.float64)
    assert token_rewards(score, same, same, mask).count_nonzero() == 4
