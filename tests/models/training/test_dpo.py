"""Direct preference optimization."""

import math
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.training.checkpoint import weights_digest
from models.training.dpo import document_logprobs, dpo_loss, dpo_margin, dpo_objective
from models.training.examples import Examples, PackedExamples, build_examples

PAIRS = 11


@pytest.fixture
def reference(config: DecoderConfig) -> Decoder:
    return Decoder(config, seed=8)


@pytest.fixture
def examples() -> Examples:
    """Pairs that share a prompt of 1 to 6 untrained tokens; answers have 1 to 9 trained tokens."""
    generator = np.random.default_rng(2)
    rows = []
    for number in range(PAIRS):
        prompt = generator.integers(1, 97, int(generator.integers(1, 7))).tolist()
        documents = []
        for _ in range(2):
            answer = generator.integers(1, 97, int(generator.integers(1, 10))).tolist()
            documents.append((prompt + answer, [False] * len(prompt) + [True] * len(answer)))
        rows.append((str(number), documents))
    return build_examples(rows, 2)


def logprob_of(model: Decoder, examples: Examples, document: int) -> float:
    """The trained tokens' log-probability of one document, seen alone, from the whole logits."""
    tokens, trained = (
        torch.from_numpy(column[examples.offsets[document] : examples.offsets[document + 1]].astype(np.int64))
        for column in (examples.tokens, examples.trained)
    )
    logprobs = model(tokens[None])[0].double().log_softmax(-1)[:-1].gather(1, tokens[1:, None])[:, 0]
    return (logprobs * trained[1:]).sum().item()


def random_logprobs(count: int = 30) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    drawn = -10 * torch.rand(4, count, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return (drawn[0], drawn[1]), (drawn[2], drawn[3])


def test_loss_is_the_papers_formula() -> None:
    """Equation 7, written as ratios of probabilities, pair by pair."""
    policy, reference = random_logprobs()
    for beta in (0.1, 0.5):
        found = dpo_loss(policy, reference, beta)
        for index in range(30):
            chosen, rejected = (math.exp(policy[side][index] - reference[side][index]) for side in (0, 1))
            inner = beta * math.log(chosen) - beta * math.log(rejected)
            assert found[index].item() == pytest.approx(-math.log(1 / (1 + math.exp(-inner))))
            assert dpo_margin(policy, reference, beta)[index].item() == pytest.approx(inner)


def test_loss_is_trls() -> None:
    """The loss, accuracy and margin that TRL's own trainer computes from the same token log-probabilities."""
    dpo_trainer = pytest.importorskip("trl.trainer.dpo_trainer")
    policy, reference = random_logprobs(8)
    # One token per answer: TRL sums log-probabilities over tokens, ours come summed.
    outputs = SimpleNamespace(
        log_probs=torch.cat(policy)[:, None], entropy=torch.zeros(16, 1), mean_logits=torch.zeros(16, 1),
        is_top1=torch.zeros(16, 1, dtype=torch.bool),
    )  # fmt: skip
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False), aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True,
        f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0], beta=0.3, use_weighting=False,
        _total_train_tokens=0, _metrics={"eval": defaultdict(list)},
        accelerator=SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x),
    )  # fmt: skip
    inputs = {
        "input_ids": torch.ones(16, 2, dtype=torch.int64), "completion_mask": torch.ones(16, 2, dtype=torch.int64),
        "ref_chosen_logps": reference[0], "ref_rejected_logps": reference[1],
    }  # fmt: skip
    theirs = dpo_trainer.DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)
    torch.testing.assert_close(dpo_loss(policy, reference, 0.3).mean(), theirs)
    margin = dpo_margin(policy, reference, 0.3)
    metrics = trainer._metrics["eval"]
    assert metrics["rewards/margins"] == [pytest.approx(margin.mean().item())]
    assert metrics["rewards/accuracies"] == [pytest.approx((margin > 0).float().mean().item())]


def test_gradient_by_finite_differences() -> None:
    """The gradient reaches both sides of the policy and is that of the formula."""
    policy, reference = random_logprobs()
    inputs = tuple(side.clone().requires_grad_() for side in policy)
    assert torch.autograd.gradcheck(lambda *sides: dpo_loss(sides, reference, 0.3), inputs)


def test_packed_logprobs_are_the_documents(model: Decoder, examples: Examples) -> None:
    """Per document of packed rows: the sum over its trained tokens as if it were alone, in the pairs' order."""
    source = PackedExamples(examples, 40, 8)
    batch = source.batch(0)
    order = [int(name) for name in source.row_ids(batch)]
    assert len(order) == PAIRS
    for side, found in enumerate(document_logprobs(model, batch)):
        expected = [logprob_of(model, examples, 2 * number + side) for number in order]
        torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_sums_equal_a_loop_over_pairs(model: Decoder, reference: Decoder, examples: Examples) -> None:
    """Loss, accuracy and margin of packed rows, against each document alone and the formula in plain floats."""
    batch = PackedExamples(examples, 40, 8).batch(0)
    expected = {"loss": 0.0, "accuracy": 0.0, "margin": 0.0}
    for number in range(PAIRS):
        chosen, rejected = (
            logprob_of(model, examples, 2 * number + side) - logprob_of(reference, examples, 2 * number + side)
            for side in (0, 1)
        )
        expected["margin"] += 0.1 * (chosen - rejected)
        expected["accuracy"] += chosen > rejected
        expected["loss"] += math.log1p(math.exp(-0.1 * (chosen - rejected)))
    objective = dpo_objective(reference, beta=0.1)
    found = objective.sums(model, batch)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, rel=1e-4)
    assert objective.counts(batch) == dict.fromkeys(expected, PAIRS)
    assert objective.coefficients == {"loss": 1.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_policy_equal_to_reference_has_log_2(model: Decoder, examples: Examples, dtype: torch.dtype) -> None:
    """The first step's loss is exactly log 2 per pair, also when the policy computes in bfloat16."""
    batch = PackedExamples(examples, 40, 8).batch(0)
    found = dpo_objective(model).sums(model.to(dtype), batch)
    assert found["loss"].item() == pytest.approx(PAIRS * math.log(2.0), rel=1e-6)
    assert (found["accuracy"].item(), found["margin"].item()) == (0.0, 0.0)


def test_reference_keeps_its_digits(model: Decoder, reference: Decoder, examples: Examples) -> None:
    """A batch computed in bfloat16 in between leaves no trace in the next float32 one."""
    batch = PackedExamples(examples, 40, 8).batch(0)
    objective = dpo_objective(reference)
    before = objective.sums(model, batch)["loss"].item()
    objective.sums(Decoder(model.config).to(torch.bfloat16), batch)
    assert objective.sums(model, batch)["loss"].item() == before


def test_reference_is_frozen_and_named(model: Decoder, examples: Examples) -> None:
    """Training the very model that was passed as reference moves the policy alone, towards the chosen answers; the
    identity names the reference's weights, so that a resume against another one is refused.
    """
    batch = PackedExamples(examples, 40, 8).batch(0)
    before = weights_digest(model)
    objective = dpo_objective(model, beta=0.5)
    assert objective.identity == {"reference": before, "beta": 0.5}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(10):
        (objective.sums(model, batch)["loss"] / PAIRS).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert weights_digest(model) != before
    found = objective.sums(model, batch)
    assert found["loss"].item() < 0.5 * PAIRS * math.log(2.0)
    assert found["accuracy"].item() == PAIRS


def test_micro_batches_add_up(model: Decoder, reference: Decoder, examples: Examples) -> None:
    """Rows one by one, empty ones too, have the sums, counts and gradients of the whole batch."""
    batch = PackedExamples(examples, 40, 8).batch(0)
    objective = dpo_objective(reference)
    whole = objective.sums(model, batch)
    whole["loss"].backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    parts = batch.split(8)
    assert any(objective.counts(part)["loss"] == 0 for part in parts)
    total = 0.0
    for part in parts:
        loss = objective.sums(model, part)["loss"]
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(whole["loss"].item(), rel=1e-5)
    assert sum(objective.counts(part)["loss"] for part in parts) == PAIRS
    for parameter, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, atol=1e-5, rtol=1e-3)
