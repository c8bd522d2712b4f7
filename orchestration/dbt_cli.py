"""Running dbt: where it is, what it says of each model and test, and in what words it fails.

dbt and dagster-dbt take seconds to import: nothing here imports them before it is called.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from assets.core.errors import AthanorError
from assets.core.home import CHECKOUT

PROJECT = CHECKOUT / "dbt_project"
GOOD = ("pass", "success", "warn")
Lineage = dict[str, list[tuple[str, str]]]
"""Column to the (asset key, column) pairs it is computed from."""


@dataclass(frozen=True)
class NodeRun:
    """What dbt reported of one model or test."""

    unique_id: str
    status: str
    seconds: float
    message: str
    failures: int
    compiled: str


@dataclass(frozen=True)
class DbtRun:
    """One `dbt build`. `error` is dbt's own words where it did not come to run anything."""

    nodes: list[NodeRun]
    lineage: dict[str, Lineage]
    error: str

    @property
    def failed(self) -> list[NodeRun]:
        return [node for node in self.nodes if node.status not in (*GOOD, "skipped")]


def dbt_build(manifest: Mapping[str, Any], warehouse: Path, target: Path) -> DbtRun:
    """Build and test all models in a DuckDB file; artifacts and logs go to `target`."""
    import dagster as dg
    from dagster_dbt import DbtCliResource
    from dagster_dbt.core.dbt_event_iterator import DbtEventIterator
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from packaging.version import Version

    class Dbt(DbtCliResource):
        @property
        def _cli_version(self) -> Version:
            """Without `dbt --version`, which takes seconds and asks the package index for newer ones."""
            return Version(metadata.version("dbt-core"))

    dbt = Dbt(project_dir=str(PROJECT), profiles_dir=str(PROJECT), dbt_executable=dbt_executable())
    # dbt's log lies in `target`; its two lines per test would drown what a person wants to see. And dbt leaves the
    # process in the project's folder, where relative paths mean something else.
    with chdir(Path.cwd()), _environment("ATHANOR_WAREHOUSE", str(warehouse)), redirect_stdout(io.StringIO()):
        invocation = dbt.cli(["build"], manifest=manifest, raise_on_error=False, target_path=target)
        built = [event for event in invocation.stream() if isinstance(event, dg.AssetMaterialization)]
        described = DbtEventIterator(iter(built), invocation).fetch_column_metadata()
        lineage = dict(_column_lineage(event.metadata) for event in described)
        error = invocation.get_error()
        if invocation.adapter is not None:
            # dagster-dbt leaves its connection open, and DuckDB then lets no process write to the file.
            invocation.adapter.cleanup_connections()
            DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    results = target / "run_results.json"
    nodes = [_node_run(found) for found in json.loads(results.read_text())["results"]] if results.exists() else []
    return DbtRun(nodes, lineage, str(error) if error and not nodes else "")


def dbt_parse(target: Path) -> None:
    """Write `manifest.json` to `target`. dbt's own words are in the error when the project cannot be parsed."""
    command = [dbt_executable(), "--quiet", "parse", "--target-path", str(target), "--log-path", str(target)]
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AthanorError(
            f"dbt cannot parse {PROJECT}:\n{(done.stdout + done.stderr).strip()}",
            "correct the file that the message names",
        )


def dbt_executable() -> str:
    """dbt of the running interpreter's environment, else the one on the PATH."""
    beside = Path(sys.executable).with_name("dbt")
    found = str(beside) if beside.exists() else shutil.which("dbt")
    if found is None:
        raise AthanorError("dbt is not installed", "pip install the project with its requirements")
    return found


def _column_lineage(described: Mapping[str, Any]) -> tuple[str, Lineage]:
    found = described.get("dagster/column_lineage")
    columns = found.value.deps_by_column if found else {}
    return described["unique_id"].value, {
        column: sorted((dep.asset_key.to_user_string(), dep.column_name) for dep in deps)
        for column, deps in sorted(columns.items())
    }


def _node_run(result: Mapping[str, Any]) -> NodeRun:
    return NodeRun(
        unique_id=result["unique_id"],
        status=result["status"],
        seconds=round(result["execution_time"], 3),
        message=(result["message"] or "").strip(),
        failures=result["failures"] or 0,
        compiled=result["compiled_code"] or "",
    )


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """dagster-dbt reads the profile in this process too, so the variable must be set here and not only for dbt."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
