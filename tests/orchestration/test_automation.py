"""What starts by itself: the watch over the user's files, the nightly rebuild."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from orchestration.automation import NIGHTLY_SEEDS, corpus_files, new_start, nightly
from orchestration.definitions import defs


def look(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    with dg.DagsterInstance.ephemeral() as instance:
        found = corpus_files(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_new_and_changed_files_start_the_main_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first look and every change ask for a run; an unchanged folder does not, however often it is looked at."""
    monkeypatch.setenv("ATHANOR_CORPUS", str(tmp_path))
    (tmp_path / "a.txt").write_text("one document")
    first = look(None)
    assert isinstance(first, dg.SensorResult)
    assert len(first.run_requests or []) == 1
    assert isinstance(look(first.cursor), dg.SkipReason)
    (tmp_path / "b.txt").write_text("a second one")
    second = look(first.cursor)
    assert isinstance(second, dg.SensorResult)
    assert second.run_requests[0].run_key != first.run_requests[0].run_key
    (tmp_path / "b.txt").write_text("a changed one")
    assert isinstance(look(second.cursor), dg.SensorResult)


def test_a_missing_folder_is_said_and_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of the skip names the folder; without a corpus of one's own the variable is named."""
    monkeypatch.setenv("ATHANOR_CORPUS", str(tmp_path / "gone"))
    skipped = look(None)
    assert isinstance(skipped, dg.SkipReason)
    assert "gone" in (skipped.skip_message or "")
    monkeypatch.delenv("ATHANOR_CORPUS")
    assert "ATHANOR_CORPUS" in (look(None).skip_message or "")


def test_nightly_runs_the_first_seeds() -> None:
    """One run per seed, each with its partition."""
    requests = nightly(dg.build_schedule_context())
    assert [request.partition_key for request in requests] == [str(seed) for seed in range(NIGHTLY_SEEDS)]


@pytest.mark.parametrize("moved", [True, False])
def test_a_new_champion_among_the_starts_starts_reinforcement_learning(moved: bool) -> None:
    """A start that became the champion asks for one run of its seed; one that did not asks for none, and says why."""
    told = {"moved": moved, "seed": 3, "version": "7", "registered_model": "oreal-sft", "decision": "sft, seed 3: so"}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(["oreal", "sft_champion"], metadata=told))
        context = dg.build_sensor_context(instance=instance, definitions=defs())
        found = new_start.evaluate_tick(context)
    assert [(request.partition_key, request.run_key) for request in found.run_requests] == (
        [("3", "oreal-sft-7")] if moved else []
    )
    assert moved or "so" in (found.skip_message or "")
