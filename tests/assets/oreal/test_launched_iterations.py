"""Iterations whose updates are taken by processes of their own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from torch import Tensor

from assets.core.policy_engine import PolicyEngineResource
from assets.core.trainer import TrainerResource
from assets.core.verifier.verifier import Verifier
from models.architecture.huggingface import load_folder
from models.architecture.token_reward_folder import load_token_reward_folder
from tests.assets.oreal import tiny

CONFIG = tiny.POLICY.model_copy(update={"iterations": 1})


def iterate(starts: Path, work: Path, trainer: TrainerResource) -> None:
    """One iteration with its updates, in an asset: a launched run reports to the one that is made."""

    @dg.asset
    def policy() -> dg.MaterializeResult[Any]:
        with PolicyEngineResource().open(starts / "policy", work / "logs") as engine, Verifier() as verifier:
            loop = replace(tiny.make_loop(starts, work, engine, verifier, config=CONFIG), trainer=trainer)
            list(loop.run(lambda *done: None))
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([policy], instance=instance)


def largest_gap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.slow
def test_deepspeed_on_two_processes_takes_the_same_updates(tmp_path: Path) -> None:
    """Weights of policy and token reward model equal those of this process to 1e-5: the objectives, the judged answers
    and the reference reach the processes whole."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed: pip install -e '.[dev]'")
    if shutil.which("g++") is None:
        pytest.skip("DeepSpeed builds an extension at its first start: install g++")
    starts = tmp_path / "starts"
    tiny.save_starts(starts)
    divided = TrainerResource(launcher="subprocess", processes=2, backend="deepspeed")
    for name, trainer in (("here", TrainerResource()), ("divided", divided)):
        iterate(starts, tmp_path / name, trainer)
    for load, name in ((load_folder, "policy"), (load_token_reward_folder, "reward")):
        start, here, there = (
            load(path).state_dict()
            for path in (starts / name, *(tmp_path / place / f"{name}-0001" for place in ("here", "divided")))
        )
        assert largest_gap(here, start) > 1e-4
        assert largest_gap(here, there) < 1e-5
