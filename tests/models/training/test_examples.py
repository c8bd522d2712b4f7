"""Whole examples in packed rows."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.architecture.decoder import Decoder
from models.training.best_fit import best_fit
from models.training.data_folder import (
    DataFolderError,
    TokenStream,
    load_examples,
    load_stream,
    save_examples,
    save_stream,
)
from models.training.examples import Examples, PackedExamples, build_examples, screen
from models.training.objectives import next_token_sums
from models.training.packing import PackedBatch, StreamTooShort

Documents = list[tuple[list[int], list[bool]]]


@st.composite
def rows_of_documents(draw: st.DrawFn, shortest: int = 1) -> tuple[list[tuple[str, Documents]], int]:
    """Examples of one or two documents with masks, and how many documents each has. Tokens are never 0 or repeated."""
    sides = draw(st.integers(1, 2))
    lengths = draw(st.lists(st.lists(st.integers(shortest, 7), min_size=sides, max_size=sides), max_size=25))
    rows, token = [], 0
    for number, example in enumerate(lengths):
        documents: Documents = []
        for length in example:
            mask = draw(st.lists(st.booleans(), min_size=length, max_size=length))
            documents.append((list(range(token + 1, token + length + 1)), mask))
            token += length
        rows.append((f"row-{number}", documents))
    return rows, sides


def ragged(examples: int = 300, sides: int = 1, longest: int = 30) -> Examples:
    """Documents of 2 to `longest` tokens below 97; about half of the tokens are trained, the last always."""
    generator = np.random.default_rng(5)
    rows = []
    for number in range(examples):
        documents = []
        for _ in range(sides):
            length = int(generator.integers(2, longest + 1))
            trained = [*(generator.random(length - 1) < 0.5).tolist(), True]
            documents.append((generator.integers(1, 97, length).tolist(), trained))
        rows.append((str(number), documents))
    return build_examples(rows, sides)


def documents_of(batch: PackedBatch) -> dict[int, tuple[list[int], list[int], list[int], int]]:
    """Tokens, targets, positions and row of each document of a batch, by its id; each lies in one row, unbroken."""
    found: dict[int, tuple[list[int], list[int], list[int], int]] = {}
    for row, ids in enumerate(batch.document_ids):
        for number in ids.unique().tolist():
            places = (ids == number).nonzero()[:, 0].tolist()
            assert number == -1 or number not in found
            assert places == list(range(places[0], places[-1] + 1))
            values = [column[row, places].tolist() for column in (batch.tokens, batch.targets, batch.positions)]
            found[number] = (values[0], values[1], values[2], row)
    return found


@settings(deadline=None, max_examples=150)
@given(rows_of_documents(), st.integers(14, 20), st.integers(1, 3), st.integers(1, 3), st.integers(1, 9))
def test_every_example_once_per_epoch(
    drawn: tuple[list[tuple[str, Documents]], int], length: int, batch_rows: int, epochs: int, window: int
) -> None:
    """Each epoch holds every example once and whole, a pair in one row with the chosen side first, with the trained
    targets of its mask and no others; what is left of rows and of the epoch's last batch is padding.
    """
    rows, sides = drawn
    source = PackedExamples(
        build_examples(rows, sides), length, batch_rows, epochs=epochs, seed=3, window=window
    )  # fmt: skip
    by_first_token = {document[0][0][0]: (name, document) for name, document in rows}
    seen: Counter[str] = Counter()
    for step in range(source.steps):
        batch = source.batch(step)
        assert batch.tokens.shape == source.batch_shape == (batch_rows, length)
        found = documents_of(batch)
        padding = batch.document_ids == -1
        assert not batch.tokens[padding].any()
        assert (batch.targets[padding] == -100).all()
        numbers = sorted(set(found) - {-1})
        names = []
        for first in numbers[::sides]:
            name, expected = by_first_token[found[first][0][0]]
            assert first % sides == 0
            assert len({found[first + side][3] for side in range(sides)}) == 1
            for side, (tokens, trained) in enumerate(expected):
                targets = [token if mark else -100 for token, mark in zip(tokens[1:], trained[1:], strict=True)]
                assert found[first + side][:3] == (tokens, [*targets, -100], list(range(len(tokens))))
            names.append(name)
        assert source.row_ids(batch) == names
        seen.update(names)
    assert seen == {name: epochs for name, _ in rows}
    trained = sum(sum(marks[1:]) for _, documents in rows for _, marks in documents)
    assert sum(source.batch(step).trained_tokens for step in range(source.steps)) == epochs * trained


def test_order_is_a_function_of_seed_and_step() -> None:
    """A fresh object, asked in another order, gives the same batches; other seeds and other epochs other ones."""
    examples = ragged()
    first, second = (PackedExamples(examples, 40, 4, epochs=2, seed=1) for _ in range(2))
    other = PackedExamples(examples, 40, 4, epochs=2, seed=2)
    forward = [first.batch(step) for step in range(first.steps)]
    backward = [second.batch(step) for step in reversed(range(second.steps))][::-1]
    for one, same in zip(forward, backward, strict=True):
        assert all(getattr(one, field).equal(getattr(same, field)) for field in vars(one))
    assert not forward[0].tokens.equal(other.batch(0).tokens)
    orders = [
        [name for batch in forward for name in first.row_ids(batch)][part] for part in (slice(300), slice(300, 600))
    ]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_more_epochs_change_no_earlier_one() -> None:
    """A run prolonged by an epoch goes on after the same batches."""
    examples = ragged()
    short, long = (PackedExamples(examples, 40, 4, epochs=epochs, seed=1) for epochs in (1, 3))
    assert all(short.batch(step).tokens.equal(long.batch(step).tokens) for step in range(short.steps))


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), max_size=60), st.integers(30, 40))
def test_best_fit_fits_and_equals_a_plain_search(lengths: list[int], capacity: int) -> None:
    """No row overflows, and no row is opened that the plain search through all rows would not open."""
    rows, n_rows = best_fit(np.array(lengths, dtype=np.int64), capacity)
    used = np.bincount(rows, weights=lengths, minlength=n_rows) if lengths else np.zeros(0)
    assert (used <= capacity).all()
    assert (used > 0).all()
    plain: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [row for row, space in enumerate(plain) if space >= length]
        if fitting:
            plain[min(fitting, key=lambda row: plain[row])] -= length
        else:
            plain.append(capacity - length)
    assert sorted(capacity - used) == sorted(plain)


def test_rows_are_fuller_than_by_next_fit() -> None:
    """Ragged lengths leave under 1 % of padding, where laying examples out in order leaves far more."""
    generator = np.random.default_rng(0)
    lengths = np.minimum(np.exp(generator.normal(4.0, 1.0, 5000)).astype(int) + 2, 512)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    examples = Examples(
        np.ones(offsets[-1], dtype=np.uint16), offsets, np.ones(offsets[-1], dtype=bool), [str(n) for n in range(5000)]
    )
    steps = PackedExamples(examples, 512, 1).steps
    next_fit, space = 0, 0
    for length in lengths:
        if length > space:
            next_fit, space = next_fit + 1, 512
        space -= length
    assert offsets[-1] / (steps * 512) > 0.99 > 0.9 > offsets[-1] / (next_fit * 512)


def test_packed_equals_unpacked(model: Decoder) -> None:
    """Loss and gradients of packed rows, an empty one among them, are those of the examples each seen alone."""
    examples = ragged(7)
    source = PackedExamples(examples, 64, 4)
    assert source.steps == 1
    batch = source.batch(0)
    assert (batch.document_ids == -1).all(dim=1).any()
    packed = next_token_sums(model, batch)["loss"]
    packed.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    total = torch.zeros(())
    for start, end in zip(examples.offsets, examples.offsets[1:], strict=False):
        tokens = torch.from_numpy(examples.tokens[start:end].astype(np.int64))
        scores = model(tokens[None])[0].log_softmax(-1)[:-1].gather(1, tokens[1:, None])[:, 0]
        total = total - scores[torch.from_numpy(examples.trained[start + 1 : end])].sum()
    total.backward()
    assert packed.item() == pytest.approx(total.item(), rel=1e-5)
    for found, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, atol=1e-5, rtol=1e-4)


def test_split_parts_add_up(model: Decoder) -> None:
    """Micro-batches, empty ones too, give the whole batch's loss; no pair is parted."""
    batch = PackedExamples(ragged(9, sides=2), 64, 8).batch(0)
    parts = batch.split(8)
    assert any(part.trained_tokens == 0 for part in parts)
    sums = [next_token_sums(model, part)["loss"] for part in parts]
    assert all(torch.isfinite(part) and part.requires_grad for part in sums)
    assert sum(part.item() for part in sums) == pytest.approx(next_token_sums(model, batch)["loss"].item(), rel=1e-5)
    for part in parts:
        numbers = part.document_ids[part.document_ids >= 0].unique()
        assert (numbers[::2] % 2 == 0).all()
        assert numbers[1::2].equal(numbers[::2] + 1)


@settings(deadline=None)
@given(rows_of_documents(shortest=0), st.integers(1, 14), st.booleans())
def test_screen_drops_what_cannot_be_trained(
    drawn: tuple[list[tuple[str, Documents]], int], length: int, needs_trained: bool
) -> None:
    """Every row is kept unchanged or dropped with the reason that holds for it, and what is kept can be packed."""
    rows, sides = drawn
    kept, dropped = screen(build_examples(rows, sides), length, needs_trained=needs_trained)
    reasons = dict(dropped)
    expected = []
    for name, documents in rows:
        if not all(tokens for tokens, _ in documents):
            assert reasons[name] == "empty"
        elif sum(len(tokens) for tokens, _ in documents) > length:
            assert reasons[name] == "oversize"
        elif needs_trained and not all(any(marks[1:]) for _, marks in documents):
            assert reasons[name] == "nothing to train"
        else:
            expected.append((name, documents))
    again = build_examples(expected, sides)
    assert len(dropped) + len(expected) == len(rows)
    assert kept.ids == again.ids
    assert all(np.array_equal(getattr(kept, name), getattr(again, name)) for name in ("tokens", "offsets", "trained"))
    source = PackedExamples(kept, length, 2)
    assert all((source.batch(step).trained_tokens > 0) or not needs_trained for step in range(source.steps))


def test_unscreened_examples_are_refused() -> None:
    """An example that fits no row is named with the remedy before anything is trained."""
    with pytest.raises(ValueError, match=r"more than a row's 8, the first being 0 with \d+; drop them with `screen`"):
        PackedExamples(build_examples([("0", [([1] * 9, [True] * 9)])]), 8, 1)


def test_too_few_batches_say_so() -> None:
    """A plan of more steps than the epochs hold is refused, and so is a batch beyond them; no examples, no steps."""
    source = PackedExamples(ragged(30), 40, 4)
    source.require(source.steps)
    for ask in (lambda: source.require(source.steps + 1), lambda: source.batch(source.steps)):
        with pytest.raises(StreamTooShort, match=r"1 epochs of 30 examples make \d+ batches"):
            ask()
    empty = PackedExamples(build_examples([]), 40, 4)
    assert (empty.steps, empty.largest_step(3)) == (0, 0)
    with pytest.raises(ValueError, match="must not be negative"):
        source.batch(-1)


def test_largest_step_has_most_targets() -> None:
    """The memory probe of a run takes its fullest batch, and only among the steps that will be taken."""
    source = PackedExamples(ragged(sides=2), 60, 3, epochs=2)
    trained = [source.batch(step).trained_tokens for step in range(source.steps)]
    assert trained[source.largest_step(source.steps)] == max(trained)
    assert source.largest_step(3) == int(np.argmax(trained[:3]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"documents_per_example": 3}, "must be 1 or 2"),
        ({"documents_per_example": 2}, "offsets must have 5 entries"),
        ({"offsets": np.array([0, 2, 5])}, "offsets must rise"),
        ({"offsets": np.array([1, 2, 4])}, "offsets must rise"),
        ({"trained": np.ones(3, dtype=bool)}, "one entry per token, 4, not 3"),
    ],
)
def test_inconsistent_arrays_are_refused(change: dict[str, object], message: str) -> None:
    """Arrays of different data sets cannot be put together."""
    fields = {
        "tokens": np.arange(4, dtype=np.uint16), "offsets": np.array([0, 2, 4]), "trained": np.ones(4, dtype=bool),
        "ids": ["a", "b"],
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        Examples(**(fields | change))
    with pytest.raises(ValueError, match="example x has 1 documents, not 2"):
        build_examples([("x", [([1], [True])])], 2)


@pytest.mark.parametrize("count", [0, 40])
def test_examples_come_back_from_disk(tmp_path: Path, count: int) -> None:
    """A process started on the folder trains on the same batches, without reading the arrays as a whole."""
    examples = ragged(count, sides=2)
    save_examples(tmp_path / "data", examples)
    loaded = load_examples(tmp_path / "data")
    assert (loaded.ids, loaded.documents_per_example) == (examples.ids, 2)
    assert count == 0 or isinstance(loaded.tokens, np.memmap)
    found, expected = (PackedExamples(data, 64, 4) for data in (loaded, examples))
    assert found.steps == expected.steps
    assert all(found.batch(step).targets.equal(expected.batch(step).targets) for step in range(found.steps))


@pytest.mark.parametrize("optional", [True, False])
def test_streams_come_back_from_disk(tmp_path: Path, optional: bool) -> None:
    """The same for a pre-training stream, with and without what it may leave out."""
    tokens, order = np.arange(100, dtype=np.uint32), np.array([3, 0, 3, 9])
    used, names = (np.array([4, 10, 10, 8]), [f"文-{n}" for n in range(10)]) if optional else (None, None)
    stream = TokenStream(tokens, np.arange(0, 101, 10), order, used, names)
    save_stream(tmp_path, stream)
    loaded = load_stream(tmp_path)
    assert loaded.names == names
    found, expected = (data.packed(8, 2) for data in (loaded, stream))
    assert found.batch(0).tokens.equal(expected.batch(0).tokens)
    assert found.row_ids(found.batch(1)) == expected.row_ids(expected.batch(1))


def test_damaged_folders_name_the_file(tmp_path: Path) -> None:
    """Whatever is missing, cut off, of another kind or another build is named, and is never trained on."""
    with pytest.raises(DataFolderError, match=r"data.json is missing"):
        load_examples(tmp_path)
    folder = tmp_path / "data"
    save_examples(folder, ragged(20))
    with pytest.raises(DataFolderError, match=r"exists: remove the folder"):
        save_examples(folder, ragged(20))
    with pytest.raises(DataFolderError, match="does not describe data of the kind 'stream'"):
        load_stream(folder)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    np.save(folder / "offsets.npy", np.array([{}], dtype=object))
    whole_objects = (folder / "offsets.npy").read_bytes()
    damages = [
        ("tokens.npy", None, "tokens.npy is missing"),
        ("tokens.npy", whole["tokens.npy"][:-8], "tokens.npy is damaged"),
        ("tokens.npy", b"", "tokens.npy is damaged"),
        ("offsets.npy", whole_objects, "offsets.npy is damaged"),
        ("trained.npy", whole["offsets.npy"], "trained.npy has int64"),
        ("ids.json", None, "ids.json is missing"),
        ("ids.json", b'["a"]', "ids.json does not hold the 20 ids"),
        ("data.json", b"{", "data.json is not valid JSON"),
    ]
    for name, content, message in damages:
        for file, original in whole.items():
            (folder / file).write_bytes(original)
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        with pytest.raises(DataFolderError, match=message):
            load_examples(folder)
