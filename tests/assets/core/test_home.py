"""Where things lie, and how it is set from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.core.home import CHECKOUT, Home

VARIABLES = ("ATHANOR_HOME", "ATHANOR_LAKE", "MLFLOW_TRACKING_URI")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_default_home_is_in_the_checkout() -> None:
    """Without settings everything a run keeps is in one folder, which `make clean` removes and git ignores."""
    home = Home.from_environment()
    assert home.root == CHECKOUT / ".athanor"
    assert (CHECKOUT / "pyproject.toml").exists()
    assert ".athanor/" in (CHECKOUT / ".gitignore").read_text().splitlines()
    places = [home.lake, home.work, home.dagster, home.warehouse, home.artifacts]
    assert all(Path(place).is_relative_to(home.root) for place in places)
    assert home.tracking_uri == f"sqlite:///{home.root}/mlflow.db"


def test_home_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative path or ~ means the same wherever a child process is started; an empty variable is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATHANOR_HOME", "here")
    assert Home.from_environment().root == tmp_path.resolve() / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ATHANOR_HOME", "~/there")
    assert Home.from_environment().root == tmp_path.resolve() / "there"
    monkeypatch.setenv("ATHANOR_HOME", "")
    assert Home.from_environment().root == CHECKOUT / ".athanor"


def test_lake_and_mlflow_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team shares a lake in an object store and an MLflow server; work in progress stays local."""
    monkeypatch.setenv("ATHANOR_LAKE", "s3://bucket/lake")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    home = Home.from_environment()
    assert home.lake == "s3://bucket/lake"
    assert home.tracking_uri == "http://mlflow:5000"
    assert home.work.is_relative_to(home.root)
