"""A run that asks an endpoint for each row, killed at random moments and started again until it is done.

`python -m tests.faults.generation_run <folder> <rows>` is one attempt; `disturbed` is all of them.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import orjson
import pytest
import sqlalchemy as sa

from assets.core.generation.key import request_keys
from assets.core.generation.roles import Roles
from assets.core.generation.store import CALLS, GenerationStore
from assets.core.home import CHECKOUT
from assets.core.lake import Dataset, Lake
from assets.core.resources import LakeResource
from tests.assets.core.generation import toys
from tests.servers.running import RunningServer

CONCURRENCY = 16
LIMIT_SECONDS = 600
REFUSED = "question 77"  # and 770 to 779, 7700 to 7799

RATES = '{"429": 0.05, "503": 0.03, "500": 0.05, "reset": 0.05, "cut": 0.05, "garbage": 0.05, "empty": 0.05}'
# A fault at most four times, so that the fifth try is answered: else faults, not the input, would decide on rows.
FAULTS = ("--faults", RATES, "--faulty-tries", "4", "--retry-after", "0.02", "--delay", "0.05")


@dataclass(frozen=True)
class Disturbed:
    """What came of it. `asked_again` are requests that the endpoint answered although their answer was stored,
    `answered_again` those that it answered more than once because a kill lost the answer."""

    dataset: Dataset
    kills: int
    seconds: float
    asked_again: int
    answered_again: int


def prepare(folder: Path, server: RunningServer) -> None:
    """A file of roles."""
    folder.mkdir()
    (folder / "roles.toml").write_text(
        f'[roles.responder]\nengine = "openai"\nbase_url = "{server.base_url}"\nmodel = "tiny"\nmodel_revision = "1"\n'
        f"concurrency = {CONCURRENCY}\nbackoff_seconds = 0.01\nprice = {{prompt = 1, completion = 2}}\n"
    )


def attempt(folder: Path, rows: int) -> None:
    """Materialize the asset in this process."""
    dg.materialize(
        [toys.answers],
        resources={
            "lake": LakeResource(root=str(folder / "lake"), work=str(folder / "work")),
            "roles": Roles(file=str(folder / "roles.toml"), database=str(folder / "generation.db")),
        },
        run_config={
            "ops": {"toy__answers": {"config": {"questions": rows}}},
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        },
    )


def published(folder: Path) -> Dataset:
    return Lake(str(folder / "lake"), folder / "work").get("toy/answers")


def disturbed(folder: Path, server: RunningServer, rows: int, kills: int, rng: random.Random) -> Disturbed:
    """Start the run, kill it when so many more answers were sent, and again; then let it end."""
    prepare(folder, server)
    started, asked_again, done = time.monotonic(), 0, 0
    moments = sorted(rng.randrange(1, rows - rows // 10) for _ in range(kills))
    stored: dict[str, int] = {}
    for moment in [*moments, None]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.generation_run", str(folder), str(rows)], cwd=CHECKOUT
        )
        try:
            if moment is None:
                assert process.wait(LIMIT_SECONDS) == 0
            else:
                wait_for(server, moment, process)
                time.sleep(rng.uniform(0, 0.1))
                done += process.poll() is None
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        time.sleep(0.3)  # what was sent at the kill is counted by now
        tried = by_question(server.counts()["tried"])
        asked_again += sum(tried[question] > times for question, times in stored.items())
        stored = {question: tried[question] for question in questions_stored(folder, rows)}
    answered = by_question(server.counts()["answered"])
    answered_again = sum(times > 1 for times in answered.values())
    return Disturbed(published(folder), done, time.monotonic() - started, asked_again, answered_again)


def wait_for(server: RunningServer, answers: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(server.counts()["answered"]) < answers and process.poll() is None:
        assert time.monotonic() < deadline, f"fewer than {answers} answers after {LIMIT_SECONDS} seconds"
        time.sleep(0.02)


def by_question(counts: dict[str, int]) -> Counter[str]:
    """Counts of the endpoint, by the text of the question."""
    found: Counter[str] = Counter()
    for body, times in counts.items():
        found[orjson.loads(body)["messages"][0]["content"]] += times
    return found


def questions_stored(folder: Path, rows: int) -> list[str]:
    """The questions with an answer in the store."""
    roles = Roles(file=str(folder / "roles.toml"))
    key = request_keys(roles.bind(["responder"])["responder"].identity)
    keys = {key(toys.ask({"id": str(row)})): f"question {row}" for row in range(rows)}
    store = GenerationStore(f"sqlite:///{folder / 'generation.db'}")
    found = store.known(list(keys))
    store.close()
    return [keys[each] for each in found]


def calls(folder: Path) -> list[sa.Row[tuple[object, ...]]]:
    with sa.create_engine(f"sqlite:///{folder / 'generation.db'}").connect() as connection:
        return list(connection.execute(sa.select(CALLS)))


def check(found: Disturbed, expected: Dataset, folder: Path, rows: int, kills: int) -> None:
    """Compare a disturbed run with the undisturbed one's table."""
    assert found.kills == kills
    assert found.dataset.digest == expected.digest
    assert found.dataset.manifest.ledger == expected.manifest.ledger
    refused = [f"row {row}" for row in range(rows) if REFUSED in f"question {row}"]
    assert found.dataset.dead_letters()["file"].to_list() == refused
    assert set(found.dataset.dead_letters()["reason"]) == {"refused"}
    assert all("this prompt is not answered here" in detail for detail in found.dataset.dead_letters()["detail"])

    assert found.asked_again == 0
    assert found.answered_again <= 3 * kills * CONCURRENCY
    made = calls(folder)
    asked = Counter(call.key for call in made if call.outcome == "asked")
    assert (len(asked), set(asked.values())) == (rows - len(refused), {1})
    store = GenerationStore(f"sqlite:///{folder / 'generation.db'}")
    sums = store.sums()
    store.close()
    assert sums.asked == len(asked)
    assert sums.failed == len(made) - len(asked)
    assert sums.cost == pytest.approx(sum(call.cost for call in made))
    usage = found.dataset.manifest.roles["responder"]
    assert usage["usage_of_all_runs"]["asked"] == len(asked)
    assert usage["usage"]["requests"] == rows
    assert usage["usage"]["failed"] == len(refused)


if __name__ == "__main__":
    os.environ.pop("ATHANOR_GENERATION_URL", None)
    attempt(Path(sys.argv[1]), int(sys.argv[2]))
