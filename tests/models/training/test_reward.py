"""The reward model's loss."""

import math

import numpy as np
import pytest
import torch

from models.architecture.decoder import Decoder
from models.architecture.heads import RewardModel, reward_from_decoder
from models.training.examples import Examples, PackedExamples, build_examples
from models.training.packing import PackedBatch
from models.training.reward import barrier_penalty, pair_scores, ranking_loss, reward_objective

REWARD_TOKEN = 96


@pytest.fixture
def reward_model(model: Decoder) -> RewardModel:
    """Scores spread over about -6 to 6, so that some are beyond the barrier."""
    return reward_from_decoder(model, head_spread=3.0, seed=1)


def pairs(count: int, reward: bool = True) -> Examples:
    """Pairs of documents of 2 to 13 tokens, the last of them the reward token."""
    generator = np.random.default_rng(2)
    rows = []
    for number in range(count):
        documents = []
        for _ in range(2):
            tokens = generator.integers(1, 96, int(generator.integers(1, 13))).tolist()
            tokens += [REWARD_TOKEN] * reward
            documents.append((tokens, [False] * len(tokens)))
        rows.append((str(number), documents))
    return build_examples(rows, 2)


def test_values_by_hand() -> None:
    """P = 0.9 gives (1 - 2 * 0.4)^2 * -log 0.9 = 0.04 * 0.105361; the barrier of 0 and 3 is -2 log 5 and -log 16."""
    chosen = torch.tensor([math.log(9.0), 0.0, -math.log(9.0), 200.0, -200.0])
    found = ranking_loss(chosen, torch.zeros(5))
    expected = [0.04 * -math.log(0.9), math.log(2.0), math.log(10.0), 0.0, 200.0]
    torch.testing.assert_close(found, torch.tensor(expected))
    torch.testing.assert_close(barrier_penalty(torch.tensor([0.0, 3.0, -3.0])), -torch.tensor([25.0, 16.0, 16.0]).log())


def test_gamma_zero_is_the_plain_ranking_loss() -> None:
    """Without focus the loss is -log sigmoid of the difference, whatever the scores."""
    chosen, rejected = torch.randn(2, 100, generator=torch.Generator().manual_seed(0)) * 4
    torch.testing.assert_close(ranking_loss(chosen, rejected, 0.0), torch.log1p(torch.exp(rejected - chosen)))


def test_misranked_pairs_keep_their_full_loss() -> None:
    """The focal factor takes weight from pairs ranked right only."""
    chosen, rejected = torch.randn(2, 200, generator=torch.Generator().manual_seed(0)) * 4
    focal, plain = (ranking_loss(chosen, rejected, gamma) for gamma in (2.0, 0.0))
    wrong = chosen <= rejected
    assert torch.equal(focal[wrong], plain[wrong])
    assert (focal[~wrong] < plain[~wrong]).all()


def test_equals_xtuners_formula() -> None:
    """Values and gradients are those of the official implementation, at ties too, where its relu has no slope."""
    chosen, rejected = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2
    chosen[:5] = rejected[:5]
    gradients = []
    for formula in (ranking_loss, xtuner_focal_loss):
        scores = chosen.clone().requires_grad_()
        loss = formula(scores, rejected)
        loss.sum().backward()
        gradients.append((loss.detach(), scores.grad))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def xtuner_focal_loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    surplus = 2 * torch.relu(torch.sigmoid(chosen - rejected) - 0.5)
    return (1 - surplus) ** 2 * -torch.nn.functional.logsigmoid(chosen - rejected)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_gradients_by_finite_differences(gamma: float) -> None:
    """The gradient is that of the formula, the focal factor's own part included."""
    chosen, rejected = torch.randn(2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).mul(3)
    inputs = (chosen.requires_grad_(), rejected.requires_grad_())
    assert torch.autograd.gradcheck(lambda *scores: ranking_loss(*scores, gamma), inputs)
    inside = torch.linspace(-4.9, 4.9, 21, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(barrier_penalty, inside)


def test_barrier_is_flat_outside() -> None:
    """Beyond the clamp the penalty is finite and without gradient, as in XTuner; just inside it pushes back."""
    scores = torch.tensor([-50.0, -5.0, -4.9995, -4.9, 4.9, 4.9995, 5.0, 50.0], requires_grad=True)
    penalty = barrier_penalty(scores)
    penalty.sum().backward()
    torch.testing.assert_close(penalty[[0, 1, 6, 7]], torch.full((4,), -math.log(9.999 * 0.001)), rtol=1e-3, atol=0)
    assert scores.grad[[0, 1, 2, 5, 6, 7]].tolist() == [0.0] * 6
    assert scores.grad[3] < 0 < scores.grad[4]


def test_half_precision_scores_are_penalized_in_float32() -> None:
    """5 - 1e-3 is 5 in bfloat16: the clamp there would let the logarithm of 0 through."""
    penalty = barrier_penalty(torch.tensor([4.99, 7.0], dtype=torch.bfloat16))
    assert penalty.dtype == torch.float32
    assert torch.isfinite(penalty).all()


def test_sums_equal_a_loop_over_pairs(reward_model: RewardModel) -> None:
    """Packed sums are those of every document read alone at its last token; means are over pairs."""
    examples = pairs(17)
    batch = PackedExamples(examples, 40, 12).batch(0)
    objective = reward_objective(REWARD_TOKEN, gamma=2.0, penalty=0.02)
    expected = dict.fromkeys(("ranking", "penalty", "accuracy", "margin"), 0.0)
    for number in range(17):
        begins = examples.offsets[2 * number : 2 * number + 3]
        documents = [torch.from_numpy(examples.tokens[a:b].astype(np.int64)) for a, b in zip(begins, begins[1:])]  # noqa: B905, RUF007
        chosen, rejected = (reward_model.scores(document[None])[0, -1].item() for document in documents)
        probability = 1 / (1 + math.exp(rejected - chosen))
        expected["ranking"] -= (1 - 2 * max(0.0, probability - 0.5)) ** 2 * math.log(probability)
        for score in (chosen, rejected):
            inside = min(max(score, -4.999), 4.999)
            expected["penalty"] -= math.log(inside + 5) + math.log(5 - inside)
        expected["accuracy"] += chosen > rejected
        expected["margin"] += chosen - rejected
    found = objective.sums(reward_model, batch)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, rel=1e-4)
    assert objective.counts(batch) == dict.fromkeys(expected, 17)
    assert objective.coefficients == {"ranking": 1.0, "penalty": 0.02}
    assert objective.identity == {"reward_token_id": REWARD_TOKEN, "gamma": 2.0, "penalty": 0.02}


def test_micro_batches_add_up(reward_model: RewardModel) -> None:
    """Sums and counts of the rows, empty ones too, are those of the whole batch; each has a gradient to give."""
    batch = PackedExamples(pairs(9), 40, 8).batch(0)
    objective = reward_objective(REWARD_TOKEN)
    parts = batch.split(8)
    assert [objective.counts(part)["ranking"] for part in parts].count(0) > 0
    whole = objective.sums(reward_model, batch)
    per_part = [objective.sums(reward_model, part) for part in parts]
    for name, value in whole.items():
        assert sum(part[name].item() for part in per_part) == pytest.approx(value.item(), rel=1e-4, abs=1e-4)
    assert sum(objective.counts(part)["penalty"] for part in parts) == 9
    for part in per_part:
        (part["ranking"] + part["penalty"]).backward()


def test_it_learns_to_rank(model: Decoder) -> None:
    """A dozen updates put the chosen documents first: the sign of the loss and the sides of a pair are right."""
    reward = reward_from_decoder(model)
    batch = PackedExamples(pairs(12), 40, 10).batch(0)
    objective = reward_objective(REWARD_TOKEN)
    optimizer = torch.optim.AdamW(reward.parameters(), lr=3e-3)
    for _ in range(12):
        found = objective.sums(reward, batch)
        (sum(weight * found[name] for name, weight in objective.coefficients.items()) / 12).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert objective.sums(reward, batch)["accuracy"].item() == 12


def test_unusable_batches_are_refused(reward_model: RewardModel) -> None:
    """Documents without a reward token, or without the other of their pair, are not silently misread."""
    with pytest.raises(ValueError, match=r"10 of 10 documents lack the reward token 96: render pairs with"):
        pair_scores(reward_model, PackedExamples(pairs(5, reward=False), 40, 8).batch(0), REWARD_TOKEN)
    single = build_examples(
        [("a", [([1, 96], [False] * 2)]), ("b", [([2, 96], [False] * 2)]), ("c", [([96], [False])])]
    )
    with pytest.raises(ValueError, match="not in pairs"):
        pair_scores(reward_model, PackedExamples(single, 40, 8).batch(0), REWARD_TOKEN)
    batch = PackedExamples(pairs(5), 40, 8).batch(0)
    parted = PackedBatch(
        batch.tokens, batch.targets, batch.positions, batch.document_ids.masked_fill(batch.document_ids == 3, -1)
    )
    with pytest.raises(ValueError, match="not in pairs"):
        reward_objective(REWARD_TOKEN).counts(parted)
