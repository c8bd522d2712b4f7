"""Profiles bind the same assets to a laptop, GPUs and a cluster; what is missing is told by its variable's name."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets.core.errors import InputError
from orchestration.profiles import current_profile, resources

VARIABLES = (
    "PROFILE", "LAUNCHER", "SHARED", "RAY_ADDRESS", "RAY_TOKEN", "IMAGE", "VOLUME_CLAIM", "NODES", "PROCESSES",
    "ZERO_STAGE", "OFFLOAD_OPTIMIZER", "LAKE", "ROLES",
)  # fmt: skip
RAY = {"ATHANOR_LAUNCHER": "ray", "ATHANOR_SHARED": "/shared", "ATHANOR_RAY_ADDRESS": "http://head:8265"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"ATHANOR_{name}", raising=False)
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path))


def set_all(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_the_laptop_trains_in_process(tmp_path: Path) -> None:
    """The default needs no setting, and keeps everything under the home."""
    bound = resources()
    assert (bound["trainer"].launcher, bound["trainer"].device) == ("in_process", "cpu")
    assert bound["lake"].work == str(tmp_path / "work")


def test_the_gpu_profile_divides_by_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes, stage and offloading come from the environment; a word where a number belongs is told."""
    set_all(monkeypatch, {"ATHANOR_PROCESSES": "4", "ATHANOR_ZERO_STAGE": "3", "ATHANOR_OFFLOAD_OPTIMIZER": "1"})
    trainer = resources("gpu")["trainer"]
    assert (trainer.launcher, trainer.backend) == ("subprocess", "deepspeed")
    assert (trainer.processes, trainer.zero_stage, trainer.offload_optimizer) == (4, 3, True)
    monkeypatch.setenv("ATHANOR_PROCESSES", "four")
    with pytest.raises(InputError, match="ATHANOR_PROCESSES is 'four'"):
        resources("gpu")
    set_all(monkeypatch, {"ATHANOR_PROCESSES": "4", "ATHANOR_ZERO_STAGE": "0"})
    with pytest.raises(InputError, match="the profile gpu do not fit: offload_optimizer needs"):
        resources("gpu")


def test_the_cluster_is_ray_or_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in progress lies on the shared volume, the lake where it was."""
    set_all(monkeypatch, RAY | {"ATHANOR_NODES": "2"})
    bound = resources("cluster")
    assert (bound["trainer"].launcher, bound["trainer"].nodes) == ("ray", 2)
    assert bound["lake"].work == "/shared/work"
    set_all(monkeypatch, {"ATHANOR_LAUNCHER": "kubernetes", "ATHANOR_NODES": "1"})
    set_all(monkeypatch, {"ATHANOR_IMAGE": "registry.example/athanor:1", "ATHANOR_VOLUME_CLAIM": "lake"})
    assert resources("cluster")["trainer"].launcher == "kubernetes"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "needs ATHANOR_LAUNCHER, not ''"),
        ({"ATHANOR_LAUNCHER": "slurm"}, "set it to ray or kubernetes"),
        ({"ATHANOR_LAUNCHER": "ray"}, "needs ATHANOR_SHARED, ATHANOR_RAY_ADDRESS"),
        ({"ATHANOR_LAUNCHER": "kubernetes", "ATHANOR_SHARED": "/x"}, "needs ATHANOR_IMAGE, ATHANOR_VOLUME_CLAIM"),
    ],
)
def test_a_missing_setting_of_the_cluster_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    """When the code location loads, not when the first training starts."""
    set_all(monkeypatch, variables)
    with pytest.raises(InputError, match=message):
        resources("cluster")


def test_a_token_stays_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster stores a resource's configuration and shows it: the variable's name, not its value."""
    set_all(monkeypatch, RAY | {"ATHANOR_RAY_TOKEN": "hunter2"})
    trainer = resources("cluster")["trainer"]
    assert isinstance(trainer.ray_token, dg.EnvVar)
    assert "hunter2" not in str(trainer._get_non_default_public_field_values())


def test_roles_are_rules_unless_a_file_says_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The laptop needs no model. A fault in the file is told when the code location loads, not when a night's run
    comes to the asset."""
    assert resources()["roles"].bind(["writer"])["writer"].size == "rules"
    assert resources()["roles"].database == str(tmp_path / "generation.db")
    (tmp_path / "roles.toml").write_text("[roles.writer]\nengine = 'gpt'")
    monkeypatch.setenv("ATHANOR_ROLES", str(tmp_path / "roles.toml"))
    with pytest.raises(InputError, match=r"roles\.toml: roles\.writer: Input tag 'gpt'"):
        resources()


def test_an_unknown_profile_is_told_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name."""
    monkeypatch.setenv("ATHANOR_PROFILE", "mainframe")
    with pytest.raises(InputError, match="laptop, gpu, cluster"):
        current_profile()
