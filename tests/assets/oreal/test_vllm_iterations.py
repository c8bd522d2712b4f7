"""Iterations whose answers come from a real vLLM server, which takes the new weights between two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.core.policy_engine import PolicyEngineResource
from assets.core.verifier.verifier import Verifier
from models.architecture.decoder import Decoder
from models.architecture.huggingface import load_folder
from models.inference.drift import logprob_drift
from tests.assets.oreal import tiny

PYTHON = Path(__file__).parents[3] / ".venv-vllm/bin/python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PYTHON.exists(), reason="vLLM has an environment of its own: create it with `make vllm`"),
]
# vLLM's attention on the CPU takes head sizes of 32 and more.
SIZE = tiny.SIZE | {"dim": 64}
# So high that a policy is another one after an iteration.
CONFIG = tiny.POLICY.model_copy(update={"iterations": 2, "peak_lr": 1e-2, "warmup_steps": 0, "evaluate_every": 9})


def drift(decoder: Decoder, scored: pl.DataFrame, prompts: dict[str, tuple[int, ...]]) -> float:
    """Nats by which the sampler's logprobs differ in the mean from the decoder's as it trains."""
    rows = scored.select("problem_id", "token_ids", "logprobs").iter_rows()
    return logprob_drift(decoder, [(prompts[name], tokens, logprobs) for name, tokens, logprobs in rows]).mean


def test_the_server_samples_from_the_policy_of_each_iteration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its logprobs are those of the policy that was trained in the iteration before; with the weights from before they
    would be beyond the bound of the policies' check."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(tiny, "SIZE", SIZE)
    tiny.save_start(tmp_path / "policy", tmp_path / "starting")
    prompts = dict(tiny.read("rl", tmp_path / "policy").prompts)
    after: list[Decoder] = []
    sampled: list[pl.DataFrame] = []

    def done(iteration: int, scored: pl.DataFrame, record: dict[str, Any]) -> None:
        sampled.append(scored)
        after.append(load_folder(tmp_path / f"work/policy-{iteration + 1:04d}"))

    with (
        PolicyEngineResource(engine="vllm", python=str(PYTHON)).open(tmp_path / "policy", tmp_path / "logs") as engine,
        Verifier() as verifier,
    ):
        loop = tiny.make_loop(tmp_path, tmp_path / "work", engine, verifier, arm="cloning", config=CONFIG)
        records = list(loop.run(done))
    assert [record["drift"] < CONFIG.largest_drift for record in records] == [True, True]
    assert drift(after[0], sampled[1], prompts) < CONFIG.largest_drift
    assert drift(after[0], sampled[0], prompts) > CONFIG.largest_drift
