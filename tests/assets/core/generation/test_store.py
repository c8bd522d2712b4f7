"""Answers and ledger in both databases: shared, first come first kept, damaged rows told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from assets.core.errors import AthanorError
from assets.core.generation.codec import encode
from assets.core.generation.ledger import Call, Caller, Tally
from assets.core.generation.store import ANSWERS, CALLS, KEYS_PER_QUERY, GenerationStore
from models.inference.engine import Failed
from tests.assets.core.generation.fakes import completion

CALLER = Caller("toy/answers", "", "f" * 64, "writer", "run", "m")
OPEN_AND_RECORD = """
import sys
from assets.core.generation.store import GenerationStore
from tests.assets.core.generation.test_store import CALLER, call
store = GenerationStore(sys.argv[1])
session = store.start_session(CALLER)
for number in range(20):
    calls = [call(number * 50 + i, f"{sys.argv[2]} {i}") for i in range(100)]
    store.record(session, calls if sys.argv[2] in "ace" else calls[::-1])
print(len(store.find([call(i).key for i in range(1050)])))
"""


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def call(number: int, text: str = "a", cost: float | None = 0.5) -> Call:
    told = completion(text)
    return Call(key(number), told, encode(told), cost)


def rows(store: GenerationStore, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    with sa.create_engine(store.url).connect() as connection:
        return list(connection.execute(sa.select(table)))


def test_what_is_stored_is_found(store: GenerationStore) -> None:
    """More keys than one query takes, with misses among them."""
    session = store.start_session(CALLER)
    calls = [call(number, f"text {number}") for number in range(0, 3 * KEYS_PER_QUERY, 2)]
    assert store.record(session, calls) == {}
    keys = [key(number) for number in range(3 * KEYS_PER_QUERY)]
    assert store.find(keys) == {each.key: each.answer for each in calls}
    assert store.known(keys) == {each.key for each in calls}
    assert store.find([]) == {}


def test_the_first_answer_stays(store: GenerationStore) -> None:
    """The loser is told the winner's, and what it paid is in the ledger all the same."""
    first, second = store.start_session(CALLER), store.start_session(CALLER)
    assert store.record(first, [call(1, "first")]) == {}
    assert store.record(second, [call(0, "new"), call(1, "second")]) == {key(1): completion("first")}
    assert store.find([key(0), key(1)]) == {key(0): completion("new"), key(1): completion("first")}
    assert store.sums().asked == len(rows(store, CALLS)) == 3
    assert store.spent() == 1.5


def test_failures_are_counted_and_not_kept(store: GenerationStore) -> None:
    """A later run asks again, and the ledger says why."""
    failed = Call(key(1), Failed("timeout", "no answer in 600 s", 3), None, 0.25)
    store.record(store.start_session(CALLER), [failed, call(2, cost=None)], reused=4, seconds=1.5)
    assert store.find([key(1)]) == {}
    assert store.sums(role="writer") == Tally(1, 4, 1, 3, 2, 0.25, 1.5)
    assert store.sums(role="judge") == Tally()
    (told,) = [row for row in rows(store, CALLS) if row.outcome == "timeout"]
    assert (told.message, told.attempts, told.cost) == ("no answer in 600 s", 3, 0.25)


def test_sums_without_a_price_say_so(store: GenerationStore) -> None:
    """An unknown cost is not nought."""
    store.record(store.start_session(CALLER), [call(1, cost=None)])
    assert store.sums().cost is None
    assert store.spent() == 0.0


@pytest.mark.parametrize("body", [b"\x01cut", b"\x07 a later format"])
def test_a_damaged_answer_is_told(store: GenerationStore, body: bytes) -> None:
    """With the statement that removes it, so that one bad row is not the end of the store."""
    store.record(store.start_session(CALLER), [call(1)])
    with sa.create_engine(store.url).begin() as connection:
        connection.execute(sa.update(ANSWERS).values(body=body))
    with pytest.raises(AthanorError, match="damaged") as told:
        store.find([key(1)])
    with sa.create_engine(store.url).begin() as connection:
        connection.exec_driver_sql(told.value.remedy.split(": ")[1])
    assert store.find([key(1)]) == {}


def test_six_processes_create_one_store_and_write_the_same_keys(url: str) -> None:
    """All start on an empty place at once and overlap in every key: none fails, none waits for another for ever, each
    answer is one process's, and every call is in the ledger."""
    commands = [[sys.executable, "-c", OPEN_AND_RECORD, url, name] for name in "abcdef"]
    processes = [subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in commands]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, ended
    assert [out.strip() for out, _ in ended] == ["1050"] * 6
    store = GenerationStore(url)
    assert store.sums().asked == len(rows(store, CALLS)) == 6 * 20 * 100
    assert len(rows(store, ANSWERS)) == 1050


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """By its path."""
    (tmp_path / "generation.db").write_text("this is no database" * 100)
    with pytest.raises(AthanorError, match=r"generation\.db cannot be used: file is not a database"):
        GenerationStore(f"sqlite:///{tmp_path / 'generation.db'}")


def test_a_password_is_not_told() -> None:
    """The address of a server that does not answer is; what opens it is not."""
    with pytest.raises(AthanorError, match=r"athanor:\*\*\*@127\.0\.0\.1:9") as told:
        GenerationStore("postgresql+psycopg2://athanor:hunter2@127.0.0.1:9/x")
    assert "hunter2" not in str(told.value)
