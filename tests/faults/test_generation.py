"""kill -9 during generation, against an endpoint that misbehaves, costs the requests in flight and nothing else."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from assets.core.generation.store import GenerationStore
from tests.faults import generation_run as run
from tests.servers.running import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROWS = 1000
KILLS = 3
SEED = int(os.environ.get("ATHANOR_KILL_SEED", "0"))
RATES = '{"429": 0.05, "503": 0.03, "500": 0.05, "reset": 0.05, "cut": 0.05, "garbage": 0.05, "empty": 0.05}'
# A fault at most four times, so that the fifth try is answered: else faults, not the input, would decide on rows.
FAULTS = ("--faults", RATES, "--faulty-tries", "4", "--retry-after", "0.02", "--delay", "0.05")


def test_killed_again_and_again(tmp_path: Path) -> None:
    """The table is that of an undisturbed run, no stored answer is asked again, and ledger and dead letters add up."""
    with RunningServer("--refuse", run.REFUSED) as server:
        run.prepare(tmp_path / "undisturbed", server)
        run.attempt(tmp_path / "undisturbed", ROWS)
        expected = run.published(tmp_path / "undisturbed")
    with RunningServer("--refuse", run.REFUSED, *FAULTS) as server:
        found = run.disturbed(tmp_path / "disturbed", server, ROWS, KILLS, random.Random(SEED))

    assert found.kills == KILLS
    assert found.dataset.digest == expected.digest
    assert found.dataset.manifest.ledger == expected.manifest.ledger
    refused = [f"row {row}" for row in range(ROWS) if run.REFUSED in f"question {row}"]
    assert found.dataset.dead_letters()["file"].to_list() == refused
    assert set(found.dataset.dead_letters()["reason"]) == {"refused"}
    assert all("this prompt is not answered here" in detail for detail in found.dataset.dead_letters()["detail"])

    assert found.asked_again == 0
    assert found.answered_again <= 3 * KILLS * run.CONCURRENCY
    calls = run.calls(tmp_path / "disturbed")
    asked = Counter(call.key for call in calls if call.outcome == "asked")
    assert (len(asked), set(asked.values())) == (ROWS - len(refused), {1})
    store = GenerationStore(f"sqlite:///{tmp_path / 'disturbed' / 'generation.db'}")
    sums = store.sums()
    store.close()
    assert sums.asked == len(asked)
    assert sums.failed == len(calls) - len(asked)
    assert sums.cost == pytest.approx(sum(call.cost for call in calls))
    usage = found.dataset.manifest.roles["responder"]
    assert usage["usage_of_all_runs"]["asked"] == len(asked)
    assert usage["usage"]["requests"] == ROWS
    assert usage["usage"]["failed"] == len(refused)
