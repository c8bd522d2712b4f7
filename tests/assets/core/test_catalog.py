"""The lake as SQL views: what a query sees, over whole, partial and changing lakes."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest

from assets.core.catalog import expected_columns, publish_views
from assets.core.errors import AthanorError
from assets.core.lake import DatasetWriter, Lake
from tests.orchestration import tiny_lake
from tests.orchestration.tiny_lake import publish


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """In a folder whose name means something to a shell and to SQL."""
    return Lake(str(tmp_path / "a lake's [*]?"), tmp_path / "work")


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "home" / "warehouse.duckdb"


def rows(warehouse: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(warehouse, read_only=True) as connection:
        return connection.execute(query).fetchall()


def people(*names: str, **columns: object) -> pl.DataFrame:
    return pl.DataFrame({"id": list(names), **columns})


def test_view_holds_all_shards_of_all_partitions(lake: Lake, warehouse: Path) -> None:
    """A row of any shard or partition that a view leaves out is lost to every mart."""
    publish(lake, "a/b", [people("x"), people("y")], partition="0")
    publish(lake, "a/b", [people("z")], partition="1")
    publish_views(lake, warehouse)
    assert rows(warehouse, "select id from lake.a__b order by id") == [("x",), ("y",), ("z",)]


def test_view_shows_only_the_current_version(lake: Lake, warehouse: Path) -> None:
    """Older versions stay on the disk; a view that read them would show rows twice."""
    publish(lake, "a/b", [people("old")], version="1")
    publish(lake, "a/b", [people("new")], version="2")
    publish_views(lake, warehouse)
    assert rows(warehouse, "select id from lake.a__b") == [("new",)]


def test_views_of_vanished_datasets_are_dropped(lake: Lake, warehouse: Path) -> None:
    """A view of files that are gone fails only when somebody reads it."""
    publish(lake, "a/b", [people("x")])
    publish_views(lake, warehouse)
    lake.store.remove("a/b")
    publish_views(lake, warehouse)
    assert rows(warehouse, "select view_name from duckdb_views() where view_name = 'a__b'") == []
    assert rows(warehouse, "select * from lake.datasets") == []


def test_partitions_with_other_columns_are_joined_by_name(lake: Lake, warehouse: Path) -> None:
    """Partitions of an older recipe must not put one column's values under another's name."""
    publish(lake, "a/b", [people("x", left=[1], right=[2])], partition="0")
    publish(lake, "a/b", [people("y", right=[20], extra=[30])], partition="1")
    publish_views(lake, warehouse)
    found = rows(warehouse, 'select id, "left", "right", extra from lake.a__b order by id')
    assert found == [("x", 1, 2, None), ("y", None, 20, 30)]


def test_everything_that_dbt_expects_is_there_over_an_empty_lake(lake: Lake, warehouse: Path) -> None:
    """dbt builds over a lake of which nothing was made, with the types that the sources file gives."""
    publish_views(lake, warehouse)
    for name, columns in expected_columns().items():
        types = dict(rows(warehouse, f"select column_name, column_type from (describe lake.{name})"))
        assert {column: str(kind).lower() for column, kind in types.items()} == columns, name
        assert rows(warehouse, f"select * from lake.{name}") == []


def test_expected_prefix_unites_the_datasets_below_it(lake: Lake, warehouse: Path) -> None:
    """Claims of two systems stand in one table, with the columns that one of them lacks as nulls."""
    publish(lake, "claims/one", [tiny_lake.claims()])
    publish(lake, "claims/two", [tiny_lake.claims("reproduced").drop("note").with_columns(id=pl.lit("claim-2"))])
    publish_views(lake, warehouse)
    found = rows(warehouse, "select id, verdict, note from lake.claims order by id")
    assert found == [("claim-1", "inconclusive", ""), ("claim-2", "reproduced", None)]


def test_checkpoints_are_those_that_a_plan_trained(lake: Lake, warehouse: Path) -> None:
    """A tokenizer is stored as a checkpoint too, but has no plan; other datasets with a plan are no checkpoints."""
    publish(lake, "s/checkpoint/random", [tiny_lake.checkpoint("random", 0)], partition="0", kind="checkpoint")
    publish(lake, "s/tokenizer", [people("0")], kind="checkpoint")
    publish(lake, "s/draws", [tiny_lake.draws("random", 0)])
    publish_views(lake, warehouse)
    assert rows(warehouse, "select id, final_loss from lake.checkpoints") == [("checkpoint-random-0", 2.5)]


def test_edges_are_the_parents_of_all_rows(lake: Lake, warehouse: Path) -> None:
    """Lineage lost here is lost for every score; a dataset of rows without parents must not stop it."""
    parents = pl.Series([["a", "b"], []], dtype=pl.List(pl.String))
    publish(lake, "s/rows", [people("x", "y", parents=parents)])
    publish(lake, "s/roots", [people("a", "b", parents=[[], []])])
    publish(lake, "s/other", [people("q")])
    publish_views(lake, warehouse)
    found = rows(warehouse, "select key, child, parent from lake.edges order by parent")
    assert found == [("s/rows", "x", "a"), ("s/rows", "x", "b")]


def test_tables_say_what_the_manifests_say(lake: Lake, warehouse: Path) -> None:
    """Ledgers, digests and dependencies reach SQL unchanged."""
    made = publish(
        lake, "a/b", [people("x", "y")], partition="7", dropped={"short": 3}, inputs={"one": "d", "all": {"0": "e"}}
    )
    publish_views(lake, warehouse)
    assert rows(warehouse, "select key, partition, kind, rows, digest, fingerprint from lake.datasets") == [
        ("a/b", "7", "dataset", 2, made.digest, made.manifest.fingerprint)
    ]
    published = rows(warehouse, "select epoch(published) from lake.datasets")[0][0]
    assert published == pytest.approx(made.manifest.published)
    assert rows(warehouse, "select outcome, reason, rows from lake.ledgers order by outcome") == [
        ("dropped", "short", 3),
        ("failed", "", 0),
        ("in", "", 5),
        ("out", "", 2),
    ]
    assert rows(warehouse, "select input_name, input_digest from lake.dependencies order by 1") == [
        ("all@0", "e"),
        ("one", "d"),
    ]


def test_generation_says_what_the_roles_took(lake: Lake, warehouse: Path) -> None:
    """A row per role: who played it, what the build took and what all runs took; nought where no model was asked."""
    usage = {"requests": 5, "asked": 2, "reused": 2, "failed": 1, "prompt_tokens": 9, "completion_tokens": 4}
    used = usage | {"cost": 0.5, "seconds": 1.5}
    model = {"engine": "openai", "model": "m", "size": "large", "identity": {}}
    rules = {"engine": "rules", "model": "rules", "size": "rules", "identity": {}}

    def fill(out: DatasetWriter) -> None:
        out.write(people("x"))
        asked = {"binding": model, "usage": used, "usage_of_all_runs": used | {"asked": 7, "cost": None}}
        out.roles = {"writer": asked, "judge": {"binding": rules}}

    lake.build(
        key="a/b", partition="7", kind="dataset", fingerprint="f" * 64, ingredients={}, fill=fill, keeps_ledger=False
    )
    publish_views(lake, warehouse)
    assert rows(warehouse, "select * from lake.generation order by role desc") == [
        ("a/b", "7", "writer", "openai", "m", "large", 5, 2, 2, 1, 9, 4, 0.5, 1.5, 7, 1, 9, 4, None, 1.5),
        ("a/b", "7", "judge", "rules", "rules", "rules", *(0,) * 14),
    ]


def test_dataset_without_any_row_has_no_view(lake: Lake, warehouse: Path) -> None:
    """A recipe that wrote nothing leaves no shard to read; its manifest still counts."""
    publish(lake, "a/b", [])
    publish_views(lake, warehouse)
    assert rows(warehouse, "select key, rows from lake.datasets") == [("a/b", 0)]
    assert rows(warehouse, "select view_name from duckdb_views() where view_name = 'a__b'") == []


def test_lake_behind_a_url_is_read_from_its_local_copies(tmp_path: Path, warehouse: Path) -> None:
    """DuckDB reads files; those of a remote lake are fetched before a view names them."""
    lake = Lake(f"memory://{tmp_path.name}", tmp_path / "work")
    publish(lake, "a/b", [people("x")], partition="0")
    publish_views(lake, warehouse)
    assert rows(warehouse, "select id from lake.a__b") == [("x",)]


def test_missing_shard_names_the_dataset_and_changes_nothing(lake: Lake, warehouse: Path) -> None:
    """A damaged dataset is reported with a remedy, and the views of before are kept whole."""
    publish(lake, "a/b", [people("x")])
    publish_views(lake, warehouse)
    made = publish(lake, "c/d", [people("y")])
    made.shard_paths()[0].unlink()
    with pytest.raises(AthanorError, match=r"c/d.*damaged.*\n.*materialize"):
        publish_views(lake, warehouse)
    assert rows(warehouse, "select key from lake.datasets") == [("a/b",)]
