"""The code location: light to import, whole, and a graph that changes only on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from assets.core.home import CHECKOUT
from orchestration.crawl import ASSETS_OF, part_of
from orchestration.definitions import defs
from orchestration.presets import PRESETS, SECTIONS, run_config

SNAPSHOT = Path(__file__).with_name("graph_snapshot.json")
HEAVY = (
    "torch",
    "transformers",
    "mlflow",
    "sklearn",
    "dbt",
    "dagster_dbt",
    "scipy",
    "matplotlib",
    "sentence_transformers",
    "deepspeed",
    "ray",
    "dagster_ray",
    "kubernetes",
    "dagster_k8s",
    "numba",
    "trafilatura",
    "fastwarc",
)


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs().get_repository_def()


def graph(repository: dg.RepositoryDefinition) -> dict[str, object]:
    """Keys, groups, kinds, dependencies, checks and partitions of every asset."""
    nodes = repository.asset_graph
    return {
        key.to_user_string(): {
            "group": nodes.get(key).group_name,
            "kinds": sorted(nodes.get(key).kinds),
            "reads": sorted(parent.to_user_string() for parent in nodes.get(key).parent_keys),
            "checks": sorted(
                check.name for check in nodes.get(key).check_keys if key.path[0] not in ("staging", "marts")
            ),
            "partitioned": nodes.get(key).is_partitioned,
        }
        for key in sorted(nodes.get_all_asset_keys())
    }


def test_graph_snapshot(repository: dg.RepositoryDefinition) -> None:
    """The asset graph is the one on record. Changed on purpose? Run with ATHANOR_UPDATE_SNAPSHOT=1 and review."""
    now = graph(repository)
    if os.environ.get("ATHANOR_UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    assert now == json.loads(SNAPSHOT.read_text())


def test_importing_loads_nothing_heavy() -> None:
    """A code location that imports torch or dbt is slow for everyone: they are imported when something runs."""
    code = (
        "import sys; from orchestration.definitions import defs; defs();"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, check=True)
    assert found.stdout.strip() == "[]"


def test_every_asset_says_what_it_is(repository: dg.RepositoryDefinition) -> None:
    """Description, group, kinds and owner on every asset that is built here."""
    nodes = repository.asset_graph
    for key in nodes.materializable_asset_keys:
        node = nodes.get(key)
        assert node.description, key
        assert node.group_name != "default", key
        assert node.kinds, key
        assert node.owners, key


@pytest.mark.parametrize("name", sorted(PRESETS))
@pytest.mark.parametrize("job", sorted(SECTIONS))
def test_presets_are_valid_run_configuration(repository: dg.RepositoryDefinition, name: str, job: str) -> None:
    """Every preset fits the configuration schema of every job that it configures."""
    given = run_config(PRESETS[name], job)
    parts = {part: part_of(given, part) for part in ASSETS_OF} if job == "crawl" else {job: given}
    assert sum(len(part["ops"]) for part in parts.values()) == len(given["ops"])
    for part, sections in parts.items():
        assert dg.validate_run_config(repository.get_job(part), sections)


def test_jobs_and_automation_are_there(repository: dg.RepositoryDefinition) -> None:
    """What the README names exists."""
    named = {
        "quickstart",
        "claims",
        "clusterclip_arms",
        "case2code",
        "case2code_arms",
        "oreal",
        "oreal_arms",
    } | ASSETS_OF.keys()
    assert named <= set(repository.job_names)
    assert {schedule.name for schedule in repository.schedule_defs} == {"nightly", "nightly_claims"}
    sensors = {sensor.name for sensor in repository.sensor_defs}
    assert sensors == {"corpus_files", "crawl_folder", "crawl_leftovers", "new_start", "run_failed", "automation"}
