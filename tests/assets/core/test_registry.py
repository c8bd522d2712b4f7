"""Which checkpoint becomes the champion."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from assets.core.errors import AthanorError, InputError
from assets.core.registry import BITS_PER_BYTE, Promotion, Yardstick, champion_folder, register_champion
from assets.core.tracking import DIGEST, FINGERPRINT, Tracking


@pytest.fixture(scope="session")
def models(tracking: Tracking, make_model: Callable[[int], Path]) -> dict[str, tuple[Path, str]]:
    """Folder and model id of two models; `same` is the content of `first`, trained by another run."""
    folders = {"first": make_model(10), "second": make_model(11)}
    folders["same"] = folders["first"]
    logged = {}
    for name, folder in folders.items():
        with tracking.training_run(name=name, fingerprint=f"registry {name}", params={}) as run:
            logged[name] = (folder, run.log_model(folder, name=name, params={}, metrics={}))
    return logged


def champion(tracking: Tracking, name: str) -> str:
    return str(tracking.client().get_model_version_by_alias(name, "champion").version)


def never(folder: Path) -> float:
    raise AssertionError(f"{folder} need not be scored")


Models = dict[str, tuple[Path, str]]


def register(
    tracking: Tracking,
    name: str,
    model_id: str,
    score: float,
    score_of: Callable[[Path], float],
    passes: bool = True,
    yardstick: Yardstick = BITS_PER_BYTE,
) -> Promotion:
    return register_champion(
        tracking, name=name, model_id=model_id, candidate_score=score, passes_checks=passes, score_of=score_of,
        yardstick=yardstick,
    )  # fmt: skip


def test_first_that_passes_its_checks_is_champion(tracking: Tracking, models: Models) -> None:
    """Protects the start of a registry, and what a version says of where it came from."""
    folder, model_id = models["first"]
    refused = register(tracking, "start", model_id, 2.0, never, passes=False)
    assert refused == Promotion("1", False, "it does not pass its checks", 2.0, None)
    with pytest.raises(AthanorError, match=r"start has no champion.*\n.*materialize a checkpoint"):
        champion_folder(tracking, "start")
    promoted = register(tracking, "start", model_id, 2.0, never)
    assert promoted == Promotion("1", True, "there was no champion", 2.0, None)
    found = champion_folder(tracking, "start")
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    version = tracking.client().get_model_version("start", "1")
    model = tracking.client().get_logged_model(model_id)
    assert version.run_id == model.source_run_id
    assert version.tags == {
        "athanor.model_id": model_id, DIGEST: model.tags[DIGEST], FINGERPRINT: "registry first",
        "athanor.heldout_bits_per_byte": "2.0", "athanor.decision": "there was no champion",
    }  # fmt: skip
    assert '"name": "start"' in model.tags["mlflow.modelVersions"]


@pytest.mark.parametrize(("candidate", "measured", "moved"), [(1.9, 2.0, True), (2.1, 2.0, False), (2.0, 2.0, False)])
def test_only_a_better_score_moves_the_alias(
    tracking: Tracking, models: Models, candidate: float, measured: float, moved: bool
) -> None:
    """Protects the champion: its score is measured now, whatever it was when it was promoted, and a tie keeps it."""
    name = f"better {candidate}"
    first_folder, first = models["first"]
    register(tracking, name, first, 0.001, never)
    scored = []

    def score_of(folder: Path) -> float:
        scored.append((folder / "model.safetensors").read_bytes())
        assert champion(tracking, name) == "1"
        return measured

    decision = register(tracking, name, models["second"][1], candidate, score_of)
    assert scored == [(first_folder / "model.safetensors").read_bytes()]
    assert (decision.version, decision.moved, decision.champion_score) == ("2", moved, measured)
    assert f"{candidate:.4f} bits per byte" in decision.reason
    assert f"the {measured:.4f} of version 1" in decision.reason
    assert champion(tracking, name) == ("2" if moved else "1")
    assert tracking.client().get_model_version(name, "2").tags["athanor.decision"] == decision.reason


@pytest.mark.parametrize(("candidate", "moved"), [(0.8, True), (0.4, False), (0.5, False)])
def test_a_yardstick_may_prefer_more(tracking: Tracking, models: Models, candidate: float, moved: bool) -> None:
    """Protects policies that are compared by accuracy from a registry that prefers less; the words are its own."""
    accuracy = Yardstick("greedy accuracy", "higher", "test problems")
    name = f"accuracy {candidate}"
    register(tracking, name, models["first"][1], 0.9, never, yardstick=accuracy)
    decision = register(tracking, name, models["second"][1], candidate, lambda folder: 0.5, yardstick=accuracy)
    assert decision.moved is moved
    assert champion(tracking, name) == ("2" if moved else "1")
    verb = "beat" if moved else "do not beat"
    assert decision.reason == (
        f"{candidate:.4f} greedy accuracy {verb} the 0.5000 of version 1 on the same test problems"
    )
    assert tracking.client().get_model_version(name, "2").tags["athanor.heldout_greedy_accuracy"] == repr(candidate)


def test_failed_checks_never_move_the_alias(tracking: Tracking, models: Models) -> None:
    """Protects the champion from a candidate with a good score and a failed check; the champion is not even scored."""
    register(tracking, "checks", models["first"][1], 2.0, never)
    decision = register(tracking, "checks", models["second"][1], 0.1, never, passes=False)
    assert (decision.moved, decision.champion_score) == (False, None)
    assert champion(tracking, "checks") == "1"


def test_same_content_is_registered_once(tracking: Tracking, models: Models) -> None:
    """Protects the list of versions from repeated runs, and a champion from a duel with itself."""
    register(tracking, "once", models["first"][1], 2.0, never)
    for name in ("first", "same"):
        again = register(tracking, "once", models[name][1], 1.0, never)
        assert (again.version, again.moved, again.reason) == ("1", False, "it is the champion already")
    assert len(tracking.client().search_model_versions("name = 'once'")) == 1


def test_earlier_version_can_come_back(tracking: Tracking, models: Models) -> None:
    """Protects the decision on a version that lost once: on other held-out documents it may win."""
    register(tracking, "back", models["first"][1], 2.0, never)
    register(tracking, "back", models["second"][1], 1.0, lambda folder: 2.0)
    decision = register(tracking, "back", models["first"][1], 0.9, lambda folder: 1.0)
    assert (decision.version, decision.moved) == ("1", True)
    assert champion(tracking, "back") == "1"
    assert len(tracking.client().search_model_versions("name = 'back'")) == 2


def test_scores_that_are_no_numbers_are_refused(tracking: Tracking, models: Models) -> None:
    """Protects from NaN, which is neither better nor worse: nothing is decided on it."""
    with pytest.raises(InputError, match="the candidate"):
        register(tracking, "nan", models["first"][1], math.nan, never)
    register(tracking, "nan", models["first"][1], 2.0, never)
    with pytest.raises(InputError, match="the champion, version 1"):
        register(tracking, "nan", models["second"][1], 1.0, lambda folder: math.inf)
    assert champion(tracking, "nan") == "1"


def test_unknown_model_and_lost_files_say_what_to_do(tracking: Tracking, make_model: Callable[[int], Path]) -> None:
    """Protects users of a store that was moved or cleaned."""
    with pytest.raises(InputError, match=r"MLflow has no model m-none\n.*MLFLOW_TRACKING_URI"):
        register(tracking, "lost", "m-none", 1.0, never)
    with tracking.training_run(name="lost", fingerprint="lost", params={}) as run:
        model_id = run.log_model(make_model(12), name="lost", params={}, metrics={})
    register(tracking, "lost", model_id, 1.0, never)
    folder = champion_folder(tracking, "lost")
    folder.rename(folder.with_name("gone"))
    with pytest.raises(AthanorError, match="files of lost version 1 cannot be read"):
        champion_folder(tracking, "lost")
