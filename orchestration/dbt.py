"""The SQL models of `dbt_project/` as assets, their tests as asset checks.

The declarations are read from dbt's `manifest.json`; dbt itself is imported only when something is built, so that a
code location loads fast.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from assets.core.errors import AthanorError
from assets.core.home import Home
from assets.core.lake.store import LocalStore
from assets.core.progress import LOGGER
from orchestration.dbt_cli import PROJECT, dbt_parse
from orchestration.warehouse import (
    BuildError,
    Manifest,
    ModelReport,
    TestReport,
    build_warehouse,
    project_digest,
)

MANIFEST = PROJECT / "target" / "manifest.json"
PARSED = "manifest.project"
"""Beside the manifest: the digest of the project files that it was made from."""
Node = Mapping[str, Any]


def prepare_manifest() -> Path:
    """Bring `manifest.json` up to the project's files with `dbt parse` (seconds); nothing is done when it is."""
    target = LocalStore(MANIFEST.parent)
    digest = project_digest().encode()
    if not MANIFEST.exists() or target.read(PARSED) != digest:
        with tempfile.TemporaryDirectory() as folder:
            dbt_parse(Path(folder))
            target.write(MANIFEST.name, (Path(folder) / MANIFEST.name).read_bytes())
        target.write(PARSED, digest)
    return MANIFEST


def dbt_assets(manifest_path: Path = MANIFEST) -> dg.AssetsDefinition:
    """All models in one step: dbt builds them in one process. Needs the resource `lake`."""
    manifest = read_manifest(manifest_path)
    specs = {unique_id: model_spec(manifest, node) for unique_id, node in models(manifest).items()}
    checks = check_specs(manifest)
    united = united_assets(manifest)

    @dg.multi_asset(
        name="dbt",
        specs=list(specs.values()),
        check_specs=list(checks.values()),
        required_resource_keys={"lake"},
        pool="duckdb",
    )
    def build(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        started = time.monotonic()
        lake, home = context.resources.lake.open(), Home.from_environment()
        try:
            latest = read_manifest(prepare_manifest())
            _require_declared(latest, specs, checks)
            stamp, reused = build_warehouse(lake, home, latest, context.log.info)
        except BuildError as error:
            yield from (check_result(checks[name], report) for name, report in error.tests.items())
            raise dg.Failure(description=str(error), allow_retries=False) from error
        except AthanorError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        seconds = time.monotonic() - started
        LOGGER.info("%s dbt: %s models, %.1f s", "reused" if reused else "built ", len(stamp.models), seconds)
        for unique_id, spec in specs.items():
            report = stamp.models[unique_id]
            lineage = column_lineage(spec, report, united)
            yield materialization(spec, report, lineage, home.warehouse, reused)
        for unique_id, check in checks.items():
            yield check_result(check, stamp.tests[unique_id])

    return build


def read_manifest(path: Path = MANIFEST) -> Manifest:
    """dbt's manifest; an error with the remedy where it was never made."""
    if not path.exists():
        raise AthanorError(f"{path} is missing", "call orchestration.dbt.prepare_manifest(), which runs `dbt parse`")
    found: Manifest = json.loads(path.read_bytes())
    return found


def models(manifest: Manifest) -> dict[str, Node]:
    """The models by dbt's unique id, each after those it reads."""
    waiting = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    ordered: dict[str, Node] = {}
    while waiting:
        ready = [name for name, node in waiting.items() if not waiting.keys() & set(node["depends_on"]["nodes"])]
        ordered |= {name: waiting.pop(name) for name in sorted(ready)}
    return ordered


def model_key(node: Node) -> dg.AssetKey:
    """`staging/stg_scores`, `marts/leaderboard`: dagster-dbt derives the same key for column lineage."""
    return dg.AssetKey([node["config"]["schema"], node["name"]])


def model_spec(manifest: Manifest, node: Node) -> dg.AssetSpec:
    """The declaration of a model: what it reads, its columns, the version of its SQL."""
    return dg.AssetSpec(
        model_key(node),
        deps=sorted({key for name in node["depends_on"]["nodes"] for key in read_keys(manifest, name)}),
        description=node["description"].strip(),
        metadata={"dagster/table_name": _table_name(node), "dagster/column_schema": _column_schema(node)},
        group_name=node["config"]["schema"],
        code_version=node["checksum"]["checksum"][:12],
        owners=["team:athanor"],
        kinds={"dbt", "duckdb"},
    )


def read_keys(manifest: Manifest, unique_id: str) -> list[dg.AssetKey]:
    """The assets behind a model or a source: one, those whose rows it unites, or those it only waits for."""
    if unique_id in manifest["nodes"]:
        return [model_key(manifest["nodes"][unique_id])]
    meta = manifest["sources"][unique_id]["config"]["meta"]
    named = meta.get("assets") or meta.get("after") or ["/".join(meta["dagster"]["asset_key"])]
    return [dg.AssetKey.from_user_string(key) for key in named]


def check_specs(manifest: Manifest) -> dict[str, dg.AssetCheckSpec]:
    """Asset checks by the unique id of their test. A mart whose test fails as an error blocks what comes after it."""
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    specs = {}
    for node in [*tests, *manifest["unit_tests"].values()]:
        model = manifest["nodes"][tested_model(manifest, node)]
        severity = node["config"].get("severity", "error").lower()
        specs[node["unique_id"]] = dg.AssetCheckSpec(
            check_name(node),
            asset=model_key(model),
            description=node["description"].strip() or None,
            blocking=severity == "error" and model["config"]["schema"] == "marts",
        )
    return specs


def tested_model(manifest: Manifest, node: Node) -> str:
    """The model that a test belongs to; a test of its own file that reads several names it in `meta.dagster.ref`."""
    if node.get("attached_node"):
        return str(node["attached_node"])
    read = [name for name in node["depends_on"]["nodes"] if name in manifest["nodes"]]
    named = node["config"]["meta"].get("dagster", {}).get("ref", {}).get("name")
    return str(next((name for name in read if manifest["nodes"][name]["name"] == named), read[0]))


def check_name(node: Node) -> str:
    """`unique_score_id` for a test of a column, else the test's own name."""
    generic = node.get("test_metadata")
    return f"{generic['name']}_{node['column_name']}" if generic and node.get("column_name") else str(node["name"])


def united_assets(manifest: Manifest) -> dict[str, list[str]]:
    """The assets whose rows a source unites, by the key under which dagster-dbt knows the source."""
    return {
        f"{source['source_name']}/{source['name']}": source["config"]["meta"]["assets"]
        for source in manifest["sources"].values()
        if "assets" in source["config"]["meta"]
    }


def materialization(
    spec: dg.AssetSpec, report: ModelReport, lineage: dg.TableColumnLineage, warehouse: Path, reused: bool
) -> dg.MaterializeResult[Any]:
    """What was built, under the names that the Dagster UI knows."""
    return dg.MaterializeResult(
        spec.key,
        data_version=dg.DataVersion(report.digest),
        metadata={
            "reused": reused,
            "dagster/row_count": report.rows,
            "dagster/column_schema": spec.metadata["dagster/column_schema"],
            "dagster/column_lineage": lineage,
            "digest": report.digest,
            "path": dg.MetadataValue.path(str(warehouse)),
            "seconds": report.seconds,
            "preview": dg.MetadataValue.md(report.preview),
        },
    )


def column_lineage(spec: dg.AssetSpec, report: ModelReport, united: Mapping[str, list[str]]) -> dg.TableColumnLineage:
    """From assets to columns; what is made from manifests has no asset that its columns come from."""
    known = {dep.asset_key for dep in spec.deps}
    found = {
        column: [
            dg.TableColumnDep(dg.AssetKey.from_user_string(key), source)
            for table, source in read
            for key in united.get(table, [table])
        ]
        for column, read in report.lineage.items()
    }
    return dg.TableColumnLineage(
        {column: [dep for dep in deps if dep.asset_key in known] for column, deps in found.items()}
    )


def check_result(spec: dg.AssetCheckSpec, report: TestReport) -> dg.AssetCheckResult:
    """A test's outcome, with the first rows that failed."""
    metadata: dict[str, Any] = {"failures": report.failures}
    if report.message:
        metadata["message"] = report.message
    if report.rows:
        metadata["rows"] = dg.MetadataValue.md(report.rows)
    return dg.AssetCheckResult(
        passed=report.status == "pass",
        asset_key=spec.asset_key,
        check_name=spec.name,
        severity=dg.AssetCheckSeverity.WARN if report.status == "warn" else dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )


def _require_declared(
    manifest: Manifest, specs: Mapping[str, dg.AssetSpec], checks: Mapping[str, dg.AssetCheckSpec]
) -> None:
    changed = models(manifest).keys() ^ specs.keys() | check_specs(manifest).keys() ^ checks.keys()
    if changed:
        raise AthanorError(
            f"the dbt project has other models or tests than when it was loaded: {', '.join(sorted(changed))}",
            "reload the code location and materialize again",
        )


def _table_name(node: Node) -> str:
    return f"{node['database']}.{node['schema']}.{node['alias']}"


def _column_schema(node: Node) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(each["name"], each["data_type"], each["description"].strip())
            for each in node["columns"].values()
        ]
    )
