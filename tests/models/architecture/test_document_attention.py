"""Attention inside documents, against the plain definition."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.architecture import document_attention
from models.architecture.document_attention import attend, document_blocks, document_spans

KV_HEADS, GROUP, HEAD_DIM = 2, 3, 8


def rows_of_documents(lengths: list[list[int]], length: int) -> Tensor:
    """Document ids [B, length]: each row the given lengths, the last document cut or drawn out to the edge."""
    rows = []
    for number, row in enumerate(lengths):
        ids = torch.cat([torch.full((n,), 100 * number + i) for i, n in enumerate(row)])
        rows.append(F.pad(ids, (0, max(0, length - len(ids))), value=int(ids[-1]))[:length])
    return torch.stack(rows)


def heads(ids: Tensor, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(*ids.shape, KV_HEADS, GROUP, HEAD_DIM, generator=generator, dtype=dtype)
    key, value = (torch.randn(*ids.shape, KV_HEADS, HEAD_DIM, generator=generator, dtype=dtype) for _ in range(2))
    return query, key, value


def plain(query: Tensor, key: Tensor, value: Tensor, ids: Tensor) -> Tensor:
    """The definition: every token over itself and the earlier tokens of its document."""
    places = torch.arange(ids.shape[1])
    hidden = (ids[:, :, None] != ids[:, None, :]) | (places > places[:, None])
    scores = torch.einsum("btkgd,bskd->bkgts", query, key) / HEAD_DIM**0.5
    weights = scores.masked_fill(hidden[:, None, None], float("-inf")).softmax(-1)
    return torch.einsum("bkgts,bskd->btkgd", weights, value)


documents = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(lengths=documents, length=st.integers(1, 90), size=st.integers(1, 50), written=st.sampled_from([4, 512]))
def test_blocks_are_the_definition(lengths: list[list[int]], length: int, size: int, written: int) -> None:
    """Whatever the documents, rows and block size, scores written out or not: the same numbers."""
    ids = rows_of_documents(lengths, length)
    query, key, value = heads(ids)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(document_attention, "WRITTEN_OUT", written)
        found = attend(query, key, value, document_blocks(ids, query.dtype, size))
    torch.testing.assert_close(found, plain(query, key, value, ids), atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("written", [4, 512])
def test_gradients_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """Queries, keys and values get the gradients of the plain computation."""
    monkeypatch.setattr(document_attention, "WRITTEN_OUT", written)
    ids = rows_of_documents([[10, 3, 30, 40], [1, 1, 70]], 64)
    ours, theirs = ([part.clone().requires_grad_() for part in heads(ids)] for _ in range(2))
    weight = torch.randn(*ids.shape, KV_HEADS, GROUP, HEAD_DIM, dtype=torch.float64)
    (attend(*ours, document_blocks(ids, torch.float64, 16)) * weight).sum().backward()
    (plain(*theirs, ids) * weight).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-9, rtol=1e-7)


def test_masks_grow_with_the_documents_not_with_the_row() -> None:
    """Four times the row, four times the mask: not sixteen."""
    sizes = {}
    for length in (512, 2048):
        ids = torch.arange(length)[None] // 60
        sizes[length] = sum(block.mask.numel() for block in document_blocks(ids, torch.float32))
    assert sizes[2048] <= 4.5 * sizes[512]
    assert sizes[2048] < 2048**2 / 8


def test_a_document_does_not_read_its_own_earlier_visit() -> None:
    """The same document twice in a row of blocks, parted by another, is two documents."""
    ids = torch.tensor([[5] * 4 + [6] * 4 + [5] * 4])
    query, key, value = heads(ids)
    alone = attend(query[:, 8:], key[:, 8:], value[:, 8:], document_blocks(ids[:, 8:], torch.float64))
    packed = attend(query, key, value, document_blocks(ids, torch.float64, 4))
    torch.testing.assert_close(packed[:, 8:], alone)


def test_spans_lay_documents_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel for variable lengths is told on a GPU: each document once, rows never joined, causal."""
    ids = torch.tensor([[1, 1, 1, 2, 2], [2, 3, 3, 3, 3]])
    spans = document_spans(ids)
    assert spans.bounds.tolist() == [0, 3, 5, 6, 10]
    assert spans.bounds.dtype == torch.int32
    assert spans.longest == 4

    def kernel(
        query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, same: Tensor, *longest: int,
        window_size: tuple[int, int], enable_gqa: bool,
    ) -> Tensor:  # fmt: skip
        assert torch.equal(bounds, same)
        assert (longest, window_size, enable_gqa) == ((4, 4), (-1, 0), True)
        parts = [
            F.scaled_dot_product_attention(*(x[a:b].transpose(0, 1) for x in (query, key, value)), is_causal=True,
                                           enable_gqa=True).transpose(0, 1)
            for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        ]  # fmt: skip
        return torch.cat(parts)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    query, key, value = heads(ids)
    rows = torch.tensor([[1, 1, 1, 2, 2], [12, 13, 13, 13, 13]])
    torch.testing.assert_close(attend(query, key, value, spans), plain(query, key, value, rows))
