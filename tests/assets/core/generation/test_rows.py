"""Each row comes out once, in the order it came in, with its own answer, or lies in the dead letters."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.core.errors import AthanorError
from assets.core.generation import rows as module
from assets.core.generation.durable import DurableEngine
from assets.core.generation.ledger import Caller
from assets.core.generation.prices import Price
from assets.core.generation.responder import Binding, Responder
from assets.core.generation.rows import DatasetRows, Row, ask_rows
from assets.core.generation.store import GenerationStore
from assets.core.lake import Dataset, DatasetWriter
from models.inference.engine import Failed, Request
from tests.assets.core.generation.fakes import Answer, FakeEngine, by_prompt, request
from tests.assets.core.lake.child import build, open_lake

BINDING = Binding("writer", "openai", "fake", "tiny", {"engine": "fake"})
SCHEMA = {"id": pl.String, "text": pl.String}


def responder(store: GenerationStore, engine: FakeEngine, **settings: Any) -> Responder:
    caller = Caller("toy/answers", role="writer", model="fake")
    return Responder(BINDING, lambda: DurableEngine(engine, store, caller, **settings))


def ask(row: Row) -> Request:
    return request(int(row["id"]))


def table(folder: Path, rows: list[Row], asked: Responder, version: str = "1") -> Dataset:
    """The rows' answers as a published dataset."""

    def fill(out: DatasetWriter) -> None:
        out.write(pl.DataFrame(schema=SCHEMA))
        for batch in ask_rows(rows, ask, asked, out):
            records = [{"id": row["id"], "text": answer.samples[0].text} for row, answer in batch]
            out.write(pl.DataFrame(records, schema=SCHEMA))

    return build(open_lake(folder), fill, version=version, ledger=True)


def some_rows(number: int) -> list[Row]:
    return [{"id": str(place)} for place in range(number)]


@given(
    st.lists(st.integers(0, 40), max_size=60),
    st.sets(st.integers(0, 40)),
    st.sets(st.integers(0, 40)),
    st.integers(1, 20),
)
@settings(deadline=None, max_examples=30)
def test_the_table_is_that_of_the_rows(numbers: list[int], stored: set[int], broken: set[int], window: int) -> None:
    """Whatever is stored before, repeats, fails, and in whatever order answers come; the ledger adds up."""

    def answer(asked: Request) -> Answer:
        return Failed("timeout", "no answer", 2) if asked.seed in broken else by_prompt(asked)

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_AT_ONCE", 7)
        store = GenerationStore(f"sqlite:///{folder}/generation.db")
        list(responder(store, FakeEngine()).generate(map(request, sorted(stored))))
        asked = responder(store, FakeEngine(answer, window))
        dataset = table(Path(folder), [{"id": str(number)} for number in numbers], asked)
        kept = [number for number in numbers if number in stored or number not in broken]
        assert dataset.read()["id"].to_list() == [str(number) for number in kept]
        assert dataset.read()["text"].to_list() == [f"answer to question {number}" for number in kept]
        assert dataset.manifest.ledger == {
            "rows_in": len(numbers),
            "rows_out": len(kept),
            "failed": len(numbers) - len(kept),
            "dropped": {},
        }
        assert asked.engine.tally().requests == len(numbers)
        store.close()


def test_dead_letters_explain(store: GenerationStore, tmp_path: Path) -> None:
    """Which row, why, what was said and how often it was tried."""
    engine = FakeEngine(lambda asked: Failed("refused", "too long", 3) if asked.seed == 1 else by_prompt(asked))
    dead = table(tmp_path, some_rows(3), responder(store, engine)).dead_letters()
    assert dead.rows() == [("row 1", "", "refused", "too long (attempts: 3)")]


def test_a_rerun_reads_everything_from_the_store(store: GenerationStore, tmp_path: Path) -> None:
    """Equal content, no request, no estimate."""
    first = table(tmp_path, some_rows(1200), responder(store, FakeEngine(window=100)))
    engine = FakeEngine()
    again = responder(store, engine)
    assert table(tmp_path, some_rows(1200), again, version="2").digest == first.digest
    assert (engine.asked, again.expected) == ([], None)
    assert again.engine.tally().to_json()["reused"] == 1200


def test_the_estimate_is_made_before_anything_is_asked(store: GenerationStore, tmp_path: Path) -> None:
    """From the longest answers at first, from the mean of earlier ones later; what is stored is free."""
    price = Price(prompt=1e6, completion=1e6)
    first = responder(store, FakeEngine(), price=price)
    table(tmp_path, some_rows(10), first)
    assert first.expected is not None
    assert (first.expected.requests, first.expected.stored) == (10, 0)
    assert (first.expected.prompt_tokens, first.expected.completion_tokens) == (80, 80)
    assert (first.expected.cost, first.expected.seconds) == (160.0, None)
    second = responder(store, FakeEngine(), price=price)
    table(tmp_path, [{"id": str(place)} for place in range(5, 15)], second, version="2")
    assert second.expected is not None
    assert (second.expected.requests, second.expected.stored) == (10, 5)
    assert (second.expected.prompt_tokens, second.expected.completion_tokens) == (40, 10)
    assert second.expected.seconds is not None
    assert str(second.expected).startswith("5 of 10 requests to ask, about 40 + 10 tokens, 50.0000 US$")


def test_a_request_that_changes_when_it_is_built_again_is_told(store: GenerationStore, tmp_path: Path) -> None:
    """A counter or a clock in a prompt would ask, and pay, for ever."""
    numbers = count()

    def fill(out: DatasetWriter) -> None:
        list(ask_rows(some_rows(3), lambda _: request(next(numbers)), responder(store, FakeEngine()), out))

    with pytest.raises(AthanorError, match="the request of row 0 is another one"):
        build(open_lake(tmp_path), fill)


def test_an_iterator_is_refused(store: GenerationStore, tmp_path: Path) -> None:
    """It could be walked once only, and the second walk would find no rows."""

    def fill(out: DatasetWriter) -> None:
        list(ask_rows(iter(some_rows(3)), ask, responder(store, FakeEngine()), out))

    with pytest.raises(TypeError, match="walked more than once"):
        build(open_lake(tmp_path), fill)


def test_the_rows_of_a_dataset_are_walked_again(tmp_path: Path) -> None:
    """Every time from the first shard on."""

    def fill(out: DatasetWriter) -> None:
        for start in (0, 2):
            out.write(pl.DataFrame({"id": [str(start), str(start + 1)], "more": [0, 0]}))
            out.flush()

    rows = DatasetRows(build(open_lake(tmp_path), fill), "id")
    assert list(rows) == list(rows) == some_rows(4)
