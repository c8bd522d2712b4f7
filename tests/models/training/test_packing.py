"""The data order of training."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.packing import PackedStream, StreamTooShort


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[list[int]], list[tuple[int, int]], int, int]:
    """Documents (empty ones too), draws of (document, tokens used), row length and rows."""
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=8))
    ends = np.cumsum(lengths)
    documents = [list(range(end - length + 1, end + 1)) for end, length in zip(ends, lengths, strict=True)]
    order = draw(st.lists(st.integers(0, len(lengths) - 1), max_size=20))
    draws = [(index, draw(st.integers(0, lengths[index]))) for index in order]
    return documents, draws, draw(st.integers(1, 7)), draw(st.integers(1, 3))


def build(documents: list[list[int]], draws: list[tuple[int, int]], length: int, rows: int) -> PackedStream:
    flat = np.array([token for document in documents for token in document], dtype=np.uint32)
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents])))
    order, used = (np.array([pair[i] for pair in draws], dtype=np.int64) for i in range(2))
    return PackedStream(flat, offsets, order, length, rows, used_tokens=used)


@given(streams())
def test_equals_the_stream_written_out(
    drawn: tuple[list[list[int]], list[tuple[int, int]], int, int],
) -> None:
    """Random access gives what concatenating all documents and cutting rows gives, for every step, field and shape."""
    documents, draws, length, rows = drawn
    written = []
    for number, (index, used) in enumerate(draws):
        for place in range(used):
            target = documents[index][place + 1] if place + 1 < used else -100
            written.append((documents[index][place], target, place, number))
    stream = build(*drawn)
    steps = len(written) // (length * rows)
    assert (stream.steps, stream.total_tokens) == (steps, len(written))
    for step in reversed(range(steps)):
        batch = stream.batch(step)
        for row in range(rows):
            start = (step * rows + row) * length
            tokens, targets, places, ids = zip(*written[start : start + length], strict=True)
            assert batch.tokens[row].tolist() == list(tokens)
            assert batch.targets[row].tolist() == list(targets)
            assert batch.document_ids[row].tolist() == list(ids)
            # A document cut by the row's left edge counts from 0 again.
            cut = places[0]
            assert batch.positions[row].tolist() == [
                place - cut if number == ids[0] else place for place, number in zip(places, ids, strict=True)
            ]
        assert batch.trained_tokens == int((batch.targets != -100).sum())
    with pytest.raises(StreamTooShort):
        stream.batch(steps)


def test_target_crosses_the_row_edge() -> None:
    """A document cut by a row's edge loses no target: the last token of the row is trained on the next row's first."""
    batch = build([[5, 6, 7, 8, 9]], [(0, 5), (0, 3)], 4, 2).batch(0)
    assert batch.tokens.tolist() == [[5, 6, 7, 8], [9, 5, 6, 7]]
    assert batch.targets.tolist() == [[6, 7, 8, 9], [-100, 6, 7, -100]]
    assert batch.positions.tolist() == [[0, 1, 2, 3], [0, 0, 1, 2]]


def test_memory_mapped_tokens(tmp_path: Path) -> None:
    """A token file larger than memory works like an array: nothing converts it as a whole."""
    tokens = np.arange(1000, dtype=np.uint32)
    np.save(tmp_path / "tokens.npy", tokens)
    mapped = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    offsets, order = np.arange(0, 1001, 10), np.random.default_rng(0).permutation(100)
    found, expected = (PackedStream(source, offsets, order, 16, 4).batch(3) for source in (mapped, tokens))
    assert found.tokens.equal(expected.tokens)
    assert found.targets.equal(expected.targets)


def test_split_keeps_rows_in_order() -> None:
    """Micro-batches are the batch's rows, each once."""
    batch = build([list(range(1, 65))], [(0, 64)], 4, 8).batch(1)
    parts = batch.split(4)
    assert [part.tokens.shape for part in parts] == [(2, 4)] * 4
    assert [row for part in parts for row in part.tokens.tolist()] == batch.tokens.tolist()


def test_too_short_says_how_much_is_missing() -> None:
    """A run does not begin that the drawn documents cannot feed, and the message has the numbers to plan with."""
    stream = build([[1, 2, 3, 4, 5]], [(0, 5), (0, 5)], 2, 2)
    stream.require(2)
    with pytest.raises(StreamTooShort, match=r"3 steps of 2 rows x 2 tokens need 12 tokens.*hold 10, enough for 2"):
        stream.require(3)


@pytest.mark.parametrize(
    ("offsets", "order", "used", "message"),
    [
        ([0, 2, 5], [0], None, "offsets must rise"),
        ([0, 3, 2, 4], [0], None, "offsets must rise"),
        ([0, 2, 4], [0, 2], None, "indices of the 2 documents"),
        ([0, 2, 4], [-1], None, "indices of the 2 documents"),
        ([0, 2, 4], [0, 1], [2, 3], "used_tokens"),
        ([0, 2, 4], [0, 1], [2], "used_tokens"),
    ],
)
def test_inconsistent_arrays_are_refused(
    offsets: list[int], order: list[int], used: list[int] | None, message: str
) -> None:
    """Offsets of another token file, or a plan of another corpus, must not become training data."""
    with pytest.raises(ValueError, match=message):
        PackedStream(
            np.arange(4, dtype=np.uint32), np.array(offsets), np.array(order), 2, 1,
            used_tokens=None if used is None else np.array(used),
        )  # fmt: skip
