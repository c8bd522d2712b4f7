"""kill -9 during reinforcement learning repeats at most a phase, and changes no bit of what is learned."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path

import pytest

from tests.assets.oreal import tiny
from tests.faults import reinforcement_run as run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KILLS = int(os.environ.get("ATHANOR_KILLS", "20"))
SEED = int(os.environ.get("ATHANOR_KILL_SEED", "0"))


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Weights, rollouts, verdicts, token weights and records are those of an undisturbed run, to the bit, and no phase
    is begun again once its file is there. (ATHANOR_KILLS and ATHANOR_KILL_SEED choose how often and when.)"""
    starts = tmp_path / "starts"
    preparing = run.server().Process(target=tiny.save_starts, args=(starts,))
    preparing.start()
    run.finish(preparing)
    undisturbed = run.disturbed(starts, Path(tempfile.mkdtemp(dir=tmp_path)), 0, 0.0, random.Random())
    phases = {
        f"{name}-{number}" for number in range(tiny.POLICY.iterations) for name in ("rollouts", "scores", "record")
    }
    assert set(undisturbed.phases) == phases
    assert len(undisturbed.digests) == 2 + len(phases)

    rng, kills, again = random.Random(SEED), 0, 0
    while kills < KILLS:
        found = run.disturbed(starts, Path(tempfile.mkdtemp(dir=tmp_path)), KILLS - kills, undisturbed.seconds, rng)
        other = {name for name, digest in undisturbed.digests.items() if found.digests.get(name) != digest}
        assert not other, f"after {kills} kills of seed {SEED}"
        assert set(found.phases) == phases, "a phase was begun although its file was there"
        repeated = len(found.phases) - len(phases)
        assert repeated <= found.kills, "a kill cost more than the phase that was going on"
        kills, again = kills + found.kills, again + repeated
    print(f"{kills} kills, {again} phases begun again, {undisturbed.seconds:.1f} s undisturbed")
    assert again > 0
