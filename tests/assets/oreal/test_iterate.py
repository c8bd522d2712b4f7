"""The iterations: what one leaves for the next, and what a process that ends in between changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assets.core.policy_engine import PolicyEngineResource
from assets.core.verifier.verifier import Verifier
from assets.oreal.iterate import Loop
from models.architecture.huggingface import load_folder
from models.inference.engine import ReloadableEngine
from models.training.checkpoint import weights_digest
from tests.assets.oreal import tiny

CONFIG = tiny.POLICY.model_copy(update={"iterations": 3})


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starts")
    tiny.save_starts(folder)
    return folder


@pytest.fixture(scope="module")
def engine(starts: Path) -> Iterator[ReloadableEngine]:
    with PolicyEngineResource().open(starts / "policy", starts / "logs") as opened:
        yield opened


def run(loop: Loop) -> list[dict[str, Any]]:
    return list(loop.run(lambda *done: None))


def test_iterations_differ_and_move_the_policy(starts: Path, engine: ReloadableEngine, tmp_path: Path) -> None:
    """Protects the loop: other prompts and noise each time, another policy after it, and of old weights only those
    that are read again."""
    loop = tiny.make_loop(starts, tmp_path, engine, Verifier(), config=CONFIG)
    records = run(loop)
    assert [record["iteration"] for record in records] == [0, 1, 2]
    assert [record["accuracy"] is None for record in records] == [True, False, False]
    assert all(record["drift"] < 1e-5 for record in records)
    assert loop.scores(0)["id"].is_in(loop.scores(1)["id"].to_list()).sum() == 0
    assert sorted(path.name for path in tmp_path.glob("policy-0*")) == ["policy-0003"]
    assert sorted(path.name for path in tmp_path.glob("reward-0*")) == ["reward-0003"]
    folders = starts / "policy", tmp_path / "policy-0003"
    assert len({weights_digest(load_folder(folder)) for folder in folders}) == 2


@pytest.mark.parametrize(("arm", "on_policy"), [("reinforce", True), ("rft", False)])
def test_rejection_sampling_asks_the_start(
    starts: Path, engine: ReloadableEngine, tmp_path: Path, arm: str, on_policy: bool
) -> None:
    """Protects what tells RFT apart: in its last iteration the sampler is still the start, and the trainer is not."""
    records = run(tiny.make_loop(starts, tmp_path, engine, Verifier(), arm=arm, config=CONFIG))
    assert records[0]["drift"] < 1e-5
    assert (records[-1]["drift"] < 1e-5) is on_policy


def test_the_best_policy_is_kept(starts: Path, engine: ReloadableEngine, tmp_path: Path) -> None:
    """The first of those with the greatest accuracy: a later one must be better."""
    config = CONFIG.model_copy(update={"evaluate_every": 1})
    loop = tiny.make_loop(starts, tmp_path, engine, Verifier(), config=config)
    accuracies, kept = [], []
    for record in loop.run(lambda *done: None):
        accuracies.append(record["accuracy"])
        kept.append(weights_digest(load_folder(loop.best)))
    for number in range(1, len(kept)):
        assert (kept[number] == kept[number - 1]) is (accuracies[number] <= max(accuracies[:number]))


def test_a_record_survives_a_kill_between_state_and_metrics(
    starts: Path, engine: ReloadableEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the measures of an iteration: the process ends as its last step is told, and the next one finds out."""
    from models.training import metrics_file

    expected = run(tiny.make_loop(starts, tmp_path / "undisturbed", engine, Verifier(), config=CONFIG))
    tell = metrics_file.MetricsFile.__call__

    def killed(self: metrics_file.MetricsFile, record: Any) -> None:
        if record.step == CONFIG.updates * 2 - 1:
            raise KeyboardInterrupt
        tell(self, record)

    monkeypatch.setattr(metrics_file.MetricsFile, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tiny.make_loop(starts, tmp_path / "killed", engine, Verifier(), config=CONFIG))
    monkeypatch.undo()
    assert run(tiny.make_loop(starts, tmp_path / "killed", engine, Verifier(), config=CONFIG)) == expected
