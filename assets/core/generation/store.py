"""Where answers are kept, and what they cost: SQLite in the home, or Postgres.

    answers     one row per key: the first answer that was stored, for every asset, pipeline and process
    sessions    one row per asset version, role and run: sums over its requests
    calls       one row per request that was asked: tokens, cost, seconds, attempts

An answer, its call and its session's sums are committed together, so they add up whenever a process is killed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.dialects import postgresql, sqlite

from assets.core.errors import AthanorError
from assets.core.generation.codec import decode
from assets.core.generation.ledger import Call, Caller, Tally, tally
from models.inference.engine import Completion, Failed

KEYS_PER_QUERY = 500
WAIT_SECONDS = 60
ADVISORY_LOCK = 0x61746861  # any number that other users of the database do not lock

METADATA = sa.MetaData()
ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("key", sa.LargeBinary(32), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("started", sa.Float, nullable=False),
    *(sa.Column(field.name, sa.Text, nullable=False) for field in fields(Caller)),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("asked", "reused", "failed")),
    *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("prompt_tokens", "completion_tokens")),
    sa.Column("cost", sa.Double),
    sa.Column("seconds", sa.Double, nullable=False),
)
CALLS = sa.Table(
    "calls",
    METADATA,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("session", sa.Integer, sa.ForeignKey("sessions.id"), nullable=False),
    sa.Column("key", sa.LargeBinary(32), nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),  # asked, or the reason of the failure
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Double),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("time", sa.Double, nullable=False),
)
SUMS = tuple(field.name for field in fields(Tally))
FIND = sa.select(ANSWERS.c.key, ANSWERS.c.body).where(ANSWERS.c.key.in_(sa.bindparam("keys", expanding=True)))
KNOWN = FIND.with_only_columns(ANSWERS.c.key)
CREATION = sa.text("select pg_advisory_xact_lock(:lock)")


class GenerationStore:
    """The answers and the ledger behind a SQLAlchemy URL. Any number of threads and processes may use one store.

    Raises AthanorError when the database cannot be used or a row of it is damaged.
    """

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.name = self.url.render_as_string(hide_password=True)
        is_file = self.url.get_backend_name() == "sqlite"
        self._database = sa.create_engine(self.url, connect_args={"timeout": WAIT_SECONDS} if is_file else {})
        self._insert = sqlite.insert(ANSWERS) if is_file else postgresql.insert(ANSWERS)
        with self._clear_errors():
            self._create_file(Path(self.url.database or "")) if is_file else self._create_tables()

    def _create_file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sa.event.listen(self._database, "connect", _durable)
        # Going over to the write-ahead log cannot wait for other processes, and two cannot create one table.
        with FileLock(path.with_suffix(".lock"), timeout=WAIT_SECONDS), self._database.connect() as connection:
            connection.exec_driver_sql("pragma journal_mode = wal")
            METADATA.create_all(connection)
            connection.commit()

    def _create_tables(self) -> None:
        with self._database.begin() as connection:
            connection.execute(CREATION, {"lock": ADVISORY_LOCK})
            METADATA.create_all(connection)

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Completion]:
        """The stored answers among these keys."""
        with self._clear_errors(), self._database.connect() as connection:
            found = _select(connection, keys)
        return {key: self._decode(key, body) for key, body in found}

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of these keys have an answer; none is read."""
        with self._clear_errors(), self._database.connect() as connection:
            return {key for part in _parts(keys) for key in connection.execute(KNOWN, {"keys": part}).scalars()}

    def start_session(self, caller: Caller) -> int:
        """The id of a new session."""
        row = asdict(caller) | asdict(Tally()) | {"started": time.time()}
        with self._clear_errors(), self._database.begin() as connection:
            return connection.execute(sa.insert(SESSIONS).values(row).returning(SESSIONS.c.id)).scalar_one()

    def record(
        self, session: int, calls: Sequence[Call], reused: int = 0, seconds: float = 0.0
    ) -> dict[bytes, Completion]:
        """Commit answers and their calls, and count so many reused requests and seconds.

        An answer that another process stored first stays: it is returned by its key.
        """
        # Sorted: two transactions that insert the same keys in another order would wait for each other.
        bodies = {call.key: call.body for call in sorted(calls, key=_key) if call.body is not None}
        with self._clear_errors(), self._database.begin() as connection:
            # A transaction that begins with a read cannot wait for another's write in SQLite, so writing comes first.
            connection.execute(_added(session, tally(calls, reused, seconds)))
            earlier: list[tuple[bytes, bytes]] = []
            if bodies:
                rows = [{"key": key, "body": body} for key, body in bodies.items()]
                insert = self._insert.on_conflict_do_nothing().returning(ANSWERS.c.key)
                stored = {bytes(key) for key in connection.execute(insert, rows).scalars()}
                earlier = _select(connection, [key for key in bodies if key not in stored])
            if calls:
                now = time.time()
                connection.execute(sa.insert(CALLS), [_call_row(session, call, now) for call in calls])
        return {key: self._decode(key, body) for key, body in earlier}

    def sums(self, **where: str | int) -> Tally:
        """Sums over all sessions with this `id`, or these values of a Caller's fields."""
        query = sa.select(*(sa.func.sum(SESSIONS.c[name]) for name in SUMS))
        query = query.where(*(SESSIONS.c[name] == value for name, value in where.items()))
        with self._clear_errors(), self._database.connect() as connection:
            found = connection.execute(query).one()
        asked, reused, failed, prompt, completion, cost, seconds = found
        counts = (int(each or 0) for each in (asked, reused, failed, prompt, completion))
        return Tally(*counts, cost=cost, seconds=seconds or 0.0)

    def spent(self) -> float:
        """US dollars, over all sessions."""
        return self.sums().cost or 0.0

    def close(self) -> None:
        """Closes the connections."""
        self._database.dispose()

    def _decode(self, key: bytes, body: bytes) -> Completion:
        try:
            return decode(body)
        except ValueError as error:
            raise AthanorError(
                f"a stored answer in {self.name} is damaged: {error}",
                f"delete it, and it is asked again: delete from answers where key = {self._literal(key)}",
            ) from error

    def _literal(self, key: bytes) -> str:
        return f"x'{key.hex()}'" if self.url.get_backend_name() == "sqlite" else f"'\\x{key.hex()}'"

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, OSError) as error:
            cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            raise AthanorError(
                f"the generation store {self.name} cannot be used: {str(cause).strip()}",
                "see that the database runs, can be written and has room, and run again: committed answers are kept",
            ) from error


def _durable(connection: Any, _: object) -> None:
    """Every commit reaches the disk before it is told: answers are paid for, and many share one commit. (`normal` would
    survive a kill as well, but could lose the last seconds with the machine's power.)"""
    connection.execute("pragma synchronous = full")


def _parts(keys: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (keys[start : start + KEYS_PER_QUERY] for start in range(0, len(keys), KEYS_PER_QUERY))


def _select(connection: sa.Connection, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return [row for part in _parts(keys) for row in connection.execute(FIND, {"keys": part}).tuples()]


def _key(call: Call) -> bytes:
    return call.key


def _added(session: int, more: Tally) -> sa.Update:
    values = dict(zip(SUMS, astuple(more), strict=True))
    sums: dict[str, Any] = {name: SESSIONS.c[name] + value for name, value in values.items() if name != "cost"}
    if more.cost is not None:
        sums["cost"] = sa.func.coalesce(SESSIONS.c.cost, 0.0) + more.cost
    return sa.update(SESSIONS).where(SESSIONS.c.id == session).values(sums)


def _call_row(session: int, call: Call, now: float) -> dict[str, Any]:
    row = {"session": session, "key": call.key, "cost": call.cost, "attempts": call.answer.attempts, "time": now}
    if isinstance(call.answer, Failed):
        told = {"outcome": call.answer.reason, "message": call.answer.message}
        return row | told | {"prompt_tokens": 0, "completion_tokens": 0, "seconds": 0.0}
    usage = call.answer.usage
    used = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    return row | used | {"outcome": "asked", "message": "", "seconds": call.answer.seconds}
