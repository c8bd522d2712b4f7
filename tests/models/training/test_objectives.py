"""What is minimised."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.architecture.decoder import Decoder
from models.training.cross_entropy import summed_nll
from models.training.objectives import next_token_sums
from models.training.packing import PackedStream

Corpus = tuple[NDArray[np.uint32], NDArray[np.int64]]


def test_pretrain_is_the_documents_summed_nll(model: Decoder, corpus: Corpus) -> None:
    """The loss of a packed batch is the sum over its documents, each seen alone, of every token after its first."""
    tokens, offsets = corpus
    batch = PackedStream(tokens, offsets, np.arange(300), 64, 4).batch(0)
    expected, trained = 0.0, 0
    for row in range(4):
        for number in batch.document_ids[row].unique():
            piece = batch.document_ids[row] == number
            inputs, targets = batch.tokens[row, piece], batch.targets[row, piece]
            logits = model(inputs[None])[0].double()
            chosen = logits.log_softmax(-1).gather(1, targets.clamp(min=0)[:, None])[:, 0]
            expected -= chosen[targets != -100].sum().item()
            trained += int((targets != -100).sum())
    assert trained == batch.trained_tokens < batch.tokens.numel()
    assert next_token_sums(model, batch)["loss"].item() == pytest.approx(expected, rel=1e-5)


def inputs(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 300, (rows,), generator=generator)
    targets[::7] = -100
    return torch.randn(rows, 24, generator=generator), torch.randn(300, 24, generator=generator) * 0.3, targets


@pytest.mark.parametrize("rows", [3, 512, 1300])
def test_chunked_logits_change_nothing(rows: int) -> None:
    """Loss and gradients are those of the whole logits, with partial, full and several chunks and ignored rows."""
    hidden, weight, targets = inputs(rows)
    ours = [tensor.clone().requires_grad_() for tensor in (hidden, weight)]
    plain = [tensor.clone().requires_grad_() for tensor in (hidden, weight)]
    found = summed_nll(*ours, targets)
    expected = F.cross_entropy(plain[0] @ plain[1].T, targets, reduction="sum")
    # The loop divides the sum before it goes backward.
    (found / 17).backward()
    (expected / 17).backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4)
    assert ours[0].grad[0].abs().sum() == 0


def test_small_dtypes_sum_in_float32() -> None:
    """A bfloat16 model's loss over thousands of tokens keeps its digits."""
    hidden, weight, targets = (
        tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor for tensor in inputs(4096)
    )
    found = summed_nll(hidden, weight, targets)
    assert found.dtype == torch.float32
    expected = F.cross_entropy(hidden.double() @ weight.double().T, targets, reduction="sum")
    assert found.item() == pytest.approx(expected.item(), rel=3e-4)


def test_vanishing_probabilities_keep_their_loss() -> None:
    """A target whose probability is 0 in float32 has a finite loss, and the gradient of the whole logits."""
    hidden = torch.tensor([[200.0, 0.0], [1.0, 2.0]])
    weight, targets = torch.eye(2).repeat(2, 1).requires_grad_(), torch.tensor([1, 0])
    found = summed_nll(hidden, weight, targets)
    expected = F.cross_entropy(hidden.double() @ weight.double().T, targets, reduction="sum")
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(
        torch.autograd.grad(found, weight)[0], torch.autograd.grad(expected, weight)[0], atol=1e-4, rtol=1e-5
    )
