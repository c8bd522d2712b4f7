"""A request for each row: every row gets an answer or goes to the dead letters, in the order of the input."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from assets.core.errors import AthanorError
from assets.core.generation.durable import DurableEngine
from assets.core.generation.estimate import estimate
from assets.core.generation.responder import Responder
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import LOGGER
from models.inference.engine import Completion, Failed, Request

Row = Mapping[str, Any]
Build = Callable[[Row], Request]
ROWS_AT_ONCE = 500


class DatasetRows:
    """The rows of a dataset as mappings, read shard by shard each time they are walked."""

    def __init__(self, dataset: Dataset, *columns: str) -> None:
        self.dataset = dataset
        self.columns = columns

    def __iter__(self) -> Iterator[Row]:
        for batch in self.dataset.batches(*self.columns):
            yield from batch.iter_rows(named=True)


def ask_rows(
    rows: Iterable[Row], build: Build, responder: Responder, out: DatasetWriter
) -> Iterator[list[tuple[Row, Completion]]]:
    """Batches of rows with their answers, in the order of the rows, whatever the order of the answers.

    Each row has an `id` and counts as one that came in; one that failed goes to `out`'s dead letters; what comes is for
    the recipe to write or drop. `build` is a function of the row alone: rows are walked again, in flat memory, first to
    ask what is not stored and then to read the answers from the store.
    """
    if iter(rows) is rows:
        raise TypeError("rows are walked more than once: give a list or DatasetRows, not an iterator")
    durable, walk, offset = responder.engine, iter(rows), 0
    failures: dict[int, Failed] | None = None
    while batch := list(islice(walk, ROWS_AT_ONCE)):
        requests = [build(row) for row in batch]
        answers = durable.find(requests)
        if failures is None and None in answers:
            failures = _ask(rows, offset, build, durable, responder)
            answers = durable.find(requests)
        if failures is None:
            durable.count_reused(len(batch))
        out.ledger.rows_in += len(batch)
        answered = []
        for place, (row, answer) in enumerate(zip(batch, answers, strict=True), offset):
            if answer is not None:
                answered.append((row, answer))
            else:
                _bury(row, (failures or {}).get(place), out)
        offset += len(batch)
        yield answered


def _ask(
    rows: Iterable[Row], offset: int, build: Build, durable: DurableEngine, responder: Responder
) -> dict[int, Failed]:
    """Ask for the rows from a place on; what failed, by its place."""

    def requests() -> Iterator[Request]:
        return (build(row) for row in islice(rows, offset, None))

    expected = estimate(durable, requests())
    responder.expected = expected
    LOGGER.info("       %s %s: %s", durable.caller.asset, durable.caller.role, expected)
    answers = durable.generate(requests(), total=expected.requests)
    return {offset + place: answer for place, answer in answers if isinstance(answer, Failed)}


def _bury(row: Row, failed: Failed | None, out: DatasetWriter) -> None:
    if failed is None:
        raise AthanorError(
            f"the request of row {row['id']} is another one when it is built again",
            "build requests from the row alone: no clock, no random numbers, no counter",
        )
    detail = f"{failed.message} (attempts: {failed.attempts})"
    out.dead_letter(file=f"row {row['id']}", line=None, reason=failed.reason, detail=detail)
