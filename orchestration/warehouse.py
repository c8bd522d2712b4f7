"""The warehouse: views over the lake, dbt's models and dbt's tests, built whole or not at all.

A build goes into a DuckDB file of its own, which takes the warehouse's place when every model and test has passed:
a reader sees the old marts or the new ones, and what was killed or failed is never seen. Beside the warehouse lies
a stamp: the fingerprint of what it was built from, and what was reported of it. While the fingerprint stands and
the file is the very one that the stamp was written for, nothing is built again.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from pydantic import BaseModel

from assets.core.catalog import publish_datasets
from assets.core.errors import AthanorError
from assets.core.fingerprint import Ingredients, canonical, changes
from assets.core.home import Home
from assets.core.lake import Dataset, Lake
from assets.core.lake.store import LocalStore, fsync_folder
from assets.core.sources import code_closure
from orchestration.dbt_cli import PROJECT, DbtRun, Lineage, NodeRun, dbt_build

if TYPE_CHECKING:
    import duckdb

Manifest = Mapping[str, Any]
"""dbt's manifest.json."""
PROJECT_FILES = (".sql", ".yml")
SHOWN_ROWS = 8
SHOWN_WIDTH = 60


class TestReport(BaseModel):
    """One dbt test. `rows` are the first rows that failed, as a Markdown table."""

    __test__ = False

    status: str
    message: str = ""
    failures: int = 0
    rows: str = ""


class ModelReport(BaseModel):
    """One dbt model. `digest` is that of its rows in any order."""

    digest: str
    rows: int
    seconds: float
    preview: str
    lineage: Lineage


class Stamp(BaseModel):
    """What a warehouse was built from and what was reported. `file` is its size and time of change."""

    ingredients: Ingredients
    file: tuple[int, int]
    models: dict[str, ModelReport]
    tests: dict[str, TestReport]


class BuildError(AthanorError):
    """dbt failed; with what the tests that ran had to say."""

    def __init__(self, message: str, remedy: str, tests: dict[str, TestReport]) -> None:
        super().__init__(message, remedy)
        self.tests = tests


def build_warehouse(lake: Lake, home: Home, manifest: Manifest, log: Callable[[str], None]) -> tuple[Stamp, bool]:
    """The stamp of the warehouse over the lake's current datasets, and whether it was reused.

    Raises BuildError when dbt fails; the warehouse is then what it was before.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    # A lake behind a URL has no lock, and the warehouse is always a local file: it needs one of its own.
    with lake.hold("warehouse"), FileLock(home.warehouse.with_suffix(".lock")):
        datasets = list(lake.datasets())
        present = ingredients(datasets)
        last = read_stamp(home.warehouse)
        if last is not None and last.ingredients == present and last.file == _identity(home.warehouse):
            return last, True
        if last is not None:
            differences = changes(last.ingredients, present)[:8] or ["the file is not the one that was built"]
            log("warehouse: rebuilt because " + "; ".join(differences))
        stamp = _build(datasets, present, home, manifest)
        content = stamp.model_dump_json(indent=1).encode()
        LocalStore(home.root).write(_stamp_file(home.warehouse).name, content)
        return stamp, False


def ingredients(datasets: Sequence[Dataset]) -> Ingredients:
    """Everything that determines the warehouse. The views name files, so the places of the data count too."""
    return {
        "project": project_digest(),
        "code": code_closure(build_warehouse),
        "libraries": {name: metadata.version(name) for name in ("dbt-core", "dbt-duckdb", "duckdb")},
        "datasets": {
            f"{dataset.manifest.key}@{dataset.manifest.partition}": [
                dataset.manifest.fingerprint[:16],
                dataset.digest[:16],
                _digest([str(path) for path in dataset.shard_paths()])[:16],
            ]
            for dataset in datasets
        },
    }


def project_digest(project: Path = PROJECT) -> str:
    """Digest of the dbt project's own files."""
    folders = [folder for folder in sorted(project.iterdir()) if folder.name not in ("target", "logs")]
    found = [path for folder in folders for path in (folder.rglob("*") if folder.is_dir() else [folder])]
    files = {str(path.relative_to(project)): path for path in found if path.suffix in PROJECT_FILES}
    return _digest({name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()})


def read_stamp(warehouse: Path) -> Stamp | None:
    """The stamp beside a warehouse; None where there is none that can be read."""
    try:
        return Stamp.model_validate_json(_stamp_file(warehouse).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _stamp_file(warehouse: Path) -> Path:
    return warehouse.with_suffix(".json")


def _identity(file: Path) -> tuple[int, int] | None:
    return (file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None


def _build(datasets: Sequence[Dataset], present: Ingredients, home: Home, manifest: Manifest) -> Stamp:
    import duckdb

    # A folder of its own each time: dbt may outlive a process that was killed, and still write to the last one.
    builds = home.root / "dbt"
    shutil.rmtree(builds, ignore_errors=True)
    builds.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=builds))
    building = folder / home.warehouse.name  # the same name, because views store the name of their database
    publish_datasets(datasets, building)
    run = dbt_build(manifest, building, folder / "target")
    with duckdb.connect(building) as connection:
        tests = {node.unique_id: _test_report(connection, node) for node in _tests(run)}
        _raise_on_failure(run, tests, building)
        models = {
            node.unique_id: _model_report(connection, manifest["nodes"][node.unique_id]["relation_name"], node, run)
            for node in run.nodes
            if node.unique_id.startswith("model.")
        }
    home.warehouse.with_name(f"{home.warehouse.name}.wal").unlink(missing_ok=True)
    building.replace(home.warehouse)
    fsync_folder(home.root)
    file = _identity(home.warehouse)
    assert file is not None
    return Stamp(ingredients=present, file=file, models=models, tests=tests)


def _tests(run: DbtRun) -> list[NodeRun]:
    return [node for node in run.nodes if not node.unique_id.startswith("model.") and node.status != "skipped"]


def _raise_on_failure(run: DbtRun, tests: dict[str, TestReport], building: Path) -> None:
    if run.error:
        raise BuildError(run.error, "correct what dbt names and run again", tests)
    if run.failed:
        lines = [f"  {node.unique_id}: {node.message}" for node in run.failed]
        raise BuildError(
            "\n".join([f"dbt: {len(lines)} of {len(run.nodes)} models and tests failed", *lines]),
            "correct the SQL, or the rows that the failed checks show, and run again; the last good warehouse is "
            f"unchanged, the rejected one is {building}",
            tests,
        )


def _test_report(connection: duckdb.DuckDBPyConnection, node: NodeRun) -> TestReport:
    rows = ""
    if node.failures and node.unique_id.startswith("test."):
        rows = _first_rows(connection, f"({node.compiled})")
    return TestReport(status=node.status, message=node.message, failures=node.failures, rows=rows)


def _model_report(connection: duckdb.DuckDBPyConnection, relation: str, node: NodeRun, run: DbtRun) -> ModelReport:
    digest, rows = content_digest(connection, relation)
    preview = _first_rows(connection, relation)
    lineage = run.lineage.get(node.unique_id, {})
    return ModelReport(digest=digest, rows=rows, seconds=node.seconds, preview=preview, lineage=lineage)


def content_digest(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple[str, int]:
    """Digest of a relation's columns and rows, in whatever order these come, and the number of rows.

    Row hashes are DuckDB's own and added up, so that a row that comes twice counts twice. A new version of DuckDB may
    hash differently.
    """
    columns = connection.execute(f"select column_name, column_type from (describe {relation})").fetchall()
    found = connection.execute(f"select count(*), sum(hash(whole)::hugeint) from {relation} as whole").fetchone()
    rows, content = found or (0, None)
    return _digest([columns, rows, str(content)]), rows


def _first_rows(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    """As a Markdown table, long values cut."""
    found = connection.execute(f"select * from {relation} limit {SHOWN_ROWS}")
    names = [column[0] for column in found.description or []]
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in found.fetchall())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= SHOWN_WIDTH else f"{text[: SHOWN_WIDTH - 1]}…"


def _digest(value: object) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()
