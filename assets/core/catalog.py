"""The lake as SQL: views over the current shards and tables made from the manifests, in a DuckDB file.

    lake.<key, `/` as `__`>    the rows of a dataset, all partitions together
    lake.<prefix>              where dbt expects it: the rows of all datasets below it (claims, scores of all plans)
    lake.checkpoints           the rows of all checkpoints that a plan trained
    lake.edges                 every parent of every row
    lake.datasets, lake.ledgers, lake.dependencies, lake.generation    what the manifests say

The columns that dbt expects are written down once, in its sources file. What the lake does not hold becomes an empty
view with these columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.core.errors import AthanorError
from assets.core.home import CHECKOUT
from assets.core.lake import Dataset, Lake

if TYPE_CHECKING:
    import duckdb

SOURCES = CHECKOUT / "dbt_project/models/staging/_sources.yml"
SCHEMA = "lake"
TABLES = frozenset({"datasets", "ledgers", "dependencies", "generation"})
USED = ("requests", "asked", "reused", "failed", "prompt_tokens", "completion_tokens", "cost", "seconds")
USED_IN_ALL_RUNS = ("asked", "failed", "prompt_tokens", "completion_tokens", "cost", "seconds")
OUTCOMES = {"in": "rows_in", "out": "rows_out", "failed": "failed"}

Columns = Mapping[str, str]
"""Column name to DuckDB type."""
Row = tuple[object, ...]


@dataclass
class Stored:
    """All current partitions of one key that have rows or at least columns."""

    key: str
    kind: str
    paths: list[str] = field(default_factory=list)
    columns: list[Mapping[str, str]] = field(default_factory=list)

    @property
    def view(self) -> str:
        return self.key.replace("/", "__")

    def has(self, *names: str) -> bool:
        return set(names) <= set().union(*self.columns)


def publish_views(lake: Lake, warehouse: Path) -> None:
    """Bring schema `lake` of a DuckDB file up to the lake's current datasets, in one transaction."""
    publish_datasets(list(lake.datasets()), warehouse)


def publish_datasets(datasets: Sequence[Dataset], warehouse: Path) -> None:
    """As `publish_views`, for datasets that were listed before."""
    import duckdb

    expected = expected_columns()
    views = view_queries(stored_by_key(datasets), expected)
    warehouse.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(warehouse) as connection:
        connection.begin()
        connection.execute(f"create schema if not exists {SCHEMA}")
        for name, rows in table_rows(datasets).items():
            _create_table(connection, name, expected[name], rows)
        for name, query in views.items():
            _create_view(connection, name, query)
        for name in _views(connection) - views.keys():
            connection.execute(f"drop view {_named(name)}")
        connection.commit()


def expected_columns(sources: Path = SOURCES) -> dict[str, Columns]:
    """The columns of every table that dbt reads, by the table's name."""
    import yaml

    (source,) = yaml.safe_load(sources.read_text())["sources"]
    return {
        table["name"]: {column["name"]: column["data_type"] for column in table["columns"]}
        for table in source["tables"]
    }


def stored_by_key(datasets: Iterable[Dataset]) -> dict[str, Stored]:
    """Shards and columns by key."""
    found: dict[str, Stored] = {}
    for dataset in datasets:
        manifest = dataset.manifest
        if manifest.shards:
            stored = found.setdefault(manifest.key, Stored(manifest.key, manifest.kind))
            stored.paths += [str(path.absolute()) for path in dataset.shard_paths()]
            stored.columns.append(manifest.columns)
    return found


def view_queries(stored: Mapping[str, Stored], expected: Mapping[str, Columns]) -> dict[str, str]:
    """A query for each view of the schema; a view comes after those it reads."""
    everything = stored.values()
    checkpoints = [each for each in everything if each.kind == "checkpoint" and each.has("plan")]
    children = [each for each in everything if each.has("id", "parents")]
    queries = {each.view: _shards(each) for each in everything} | {
        "checkpoints": _union(expected["checkpoints"], checkpoints),
        "edges": _edges(expected["edges"], children),
    }
    for name in sorted(expected.keys() - queries.keys() - TABLES):
        below = [each for each in everything if each.view.startswith(f"{name}__")]
        queries[name] = _union(expected[name], below)
    return queries


def _shards(stored: Stored) -> str:
    """The rows of all partitions. One that an older recipe wrote may lack a column, which is null there."""
    differ = any(columns != stored.columns[0] for columns in stored.columns)
    paths = ", ".join(_quoted(_literal(path)) for path in stored.paths)
    return f"select * from read_parquet([{paths}], union_by_name = {str(differ).lower()})"


def _empty(columns: Columns) -> str:
    nulls = ", ".join(f'null::{data_type} as "{name}"' for name, data_type in columns.items())
    return f"select {nulls} where false"


def _union(columns: Columns, parts: Iterable[Stored]) -> str:
    """The rows of several datasets, with the expected columns first, whatever else each of them has."""
    rows = [f"select * from {_named(part.view)}" for part in parts]
    return " union all by name ".join([_empty(columns), *rows])


def _edges(columns: Columns, parts: Iterable[Stored]) -> str:
    edges = [
        f"select {_quoted(part.key)}, id::varchar, unnest(parents::varchar[]) from {_named(part.view)}"
        for part in parts
    ]
    return " union all ".join([_empty(columns), *edges])


def table_rows(datasets: Iterable[Dataset]) -> dict[str, list[Row]]:
    """What the manifests say, as rows of the tables."""
    rows: dict[str, list[Row]] = {name: [] for name in sorted(TABLES)}
    for manifest in (dataset.manifest for dataset in datasets):
        place = (manifest.key, manifest.partition)
        content = (manifest.kind, manifest.rows, manifest.digest(), manifest.fingerprint)
        published = datetime.fromtimestamp(manifest.published, UTC).replace(tzinfo=None)
        inputs = manifest.ingredients.get("inputs", {})
        rows["datasets"].append((*place, *content, manifest.seconds, published))
        rows["ledgers"] += [(*place, *entry) for entry in _ledger(manifest.ledger)]
        rows["generation"] += [(*place, *entry) for entry in _roles(manifest.roles)]
        rows["dependencies"] += [(*place, *entry) for entry in _inputs(inputs)]
    return rows


def _ledger(ledger: Mapping[str, Any] | None) -> list[Row]:
    """(outcome, reason, rows)."""
    if ledger is None:
        return []
    outcomes: list[Row] = [(outcome, "", ledger[name]) for outcome, name in OUTCOMES.items()]
    return [*outcomes, *(("dropped", reason, rows) for reason, rows in ledger["dropped"].items())]


def _roles(roles: Mapping[str, Any]) -> list[Row]:
    """(role, engine, model, size, what was used in the build and in all runs); nothing where a role asked no model."""
    rows: list[Row] = []
    for role, told in roles.items():
        binding = [told["binding"][name] for name in ("engine", "model", "size")]
        used = [told["usage"][name] if "usage" in told else 0 for name in USED]
        rows.append((role, *binding, *used, *(_all_runs(told, name) for name in USED_IN_ALL_RUNS)))
    return rows


def _all_runs(told: Mapping[str, Any], name: str) -> object:
    return told["usage_of_all_runs"][name] if "usage_of_all_runs" in told else 0


def _inputs(inputs: Mapping[str, str | Mapping[str, str]]) -> list[Row]:
    """(input name, digest), one for each partition of an input that was read in all partitions."""
    rows: list[Row] = []
    for name, digest in inputs.items():
        if isinstance(digest, Mapping):
            rows += [(f"{name}@{partition}", inner) for partition, inner in digest.items()]
        else:
            rows.append((name, digest))
    return rows


def _create_table(connection: duckdb.DuckDBPyConnection, name: str, columns: Columns, rows: Sequence[Row]) -> None:
    declared = ", ".join(f'"{column}" {data_type}' for column, data_type in columns.items())
    connection.execute(f"create or replace table {_named(name)} ({declared})")
    if rows:
        # One list per column: inserting row by row takes milliseconds each.
        lists = ", ".join(["unnest(?)"] * len(columns))
        connection.execute(f"insert into {_named(name)} select {lists}", list(zip(*rows, strict=True)))


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    import duckdb

    try:
        connection.execute(f"create or replace view {_named(name)} as {query}")
    except duckdb.Error as error:
        raise AthanorError(
            f"the warehouse cannot show {SCHEMA}.{name}: {str(error).splitlines()[0]}",
            "materialize the dataset that is named again; where its files were lost, remove its folder first",
        ) from error


def _views(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute("select view_name from duckdb_views() where schema_name = ?", [SCHEMA])
    return {name for (name,) in found.fetchall()}


def _named(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'{SCHEMA}."{escaped}"'


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _literal(path: str) -> str:
    """A path in which DuckDB sees no pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)
