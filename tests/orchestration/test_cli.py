"""The commands: what they print, and what a wrong call is told."""

from __future__ import annotations

import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from orchestration import cli
from orchestration.definitions import defs


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run a command in this process; what it exits with."""
    monkeypatch.setattr(sys, "argv", ["athanor", *arguments])
    monkeypatch.setattr(cli.atexit, "register", lambda function: function)
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code
    return 0


def test_a_preset_is_configuration_for_the_main_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `athanor preset` prints can be given back with `--config`, or pasted into the launchpad."""
    assert call(monkeypatch, "preset", "tiny") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert dg.validate_run_config(defs().resolve_job_def("quickstart"), printed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("preset", "huge"), "no preset 'huge'\n  → choose from: tiny, paper"),
        (("claims", "alchemy"), "no claims of 'alchemy'\n  → choose from: clusterclip"),
    ],
)
def test_a_wrong_name_is_told_the_right_ones(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """One line and the remedy, no traceback."""
    assert message in str(call(monkeypatch, *arguments))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is not installed is a matter of an extra, not of a traceback."""

    def missing(standalone_mode: bool) -> None:
        raise ModuleNotFoundError("No module named 'psycopg2'")

    monkeypatch.setattr(cli, "cli", missing)
    told = str(call(monkeypatch))
    assert "psycopg2" in told
    assert "cluster" in told


def test_digests_of_an_empty_home(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing was published, so nothing is listed."""
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path))
    assert call(monkeypatch, "digests") == 0
    assert capsys.readouterr().out == ""
