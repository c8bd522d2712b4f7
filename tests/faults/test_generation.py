"""kill -9 during generation, against an endpoint that misbehaves, costs the requests in flight and nothing else."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults import generation_run as run
from tests.servers.running import RunningServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROWS = 1000
KILLS = 3
SEED = int(os.environ.get("ATHANOR_KILL_SEED", "0"))


def test_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is that of an undisturbed run, no stored answer is asked again, and ledger and dead letters add up."""
    monkeypatch.delenv("ATHANOR_GENERATION_URL", raising=False)
    with RunningServer("--refuse", run.REFUSED) as server:
        run.prepare(tmp_path / "undisturbed", server)
        run.attempt(tmp_path / "undisturbed", ROWS)
        expected = run.published(tmp_path / "undisturbed")
    with RunningServer("--refuse", run.REFUSED, *run.FAULTS) as server:
        found = run.disturbed(tmp_path / "disturbed", server, ROWS, KILLS, random.Random(SEED))
    run.check(found, expected, tmp_path / "disturbed", ROWS, KILLS)
