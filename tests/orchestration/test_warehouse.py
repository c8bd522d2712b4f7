"""The warehouse is built whole or not at all, and built again exactly when something changed. dbt is played here."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assets.core.home import CHECKOUT, Home
from assets.core.lake import Lake
from assets.core.lake.store import LocalStore
from orchestration import warehouse
from orchestration.dbt_cli import DbtRun, NodeRun
from orchestration.warehouse import BuildError, Stamp, build_warehouse, content_digest, project_digest
from tests.orchestration.tiny_lake import publish

MANIFEST = {"nodes": {"model.m": {"relation_name": '"warehouse"."marts"."m"'}}}
IN_A_PROCESS = """
import sys, time
from pathlib import Path
from assets.core.home import Home
from assets.core.lake import Lake
from orchestration import warehouse
from tests.orchestration.test_warehouse import MANIFEST, play_dbt

root = Path(sys.argv[1])

def slow(manifest, building, target):
    with (root / "builds").open("a") as log:
        log.write("built\\n")
    time.sleep(float(sys.argv[2]))
    return play_dbt(manifest, building, target)

warehouse.dbt_build = slow
stamp, reused = warehouse.build_warehouse(Lake(str(root / "lake"), root / "work"), Home(root), MANIFEST, print)
print("reused" if reused else "built")
"""


def play_dbt(manifest: object, building: Path, target: Path) -> DbtRun:
    """One mart, counting the rows of the one dataset, and one test that passes."""
    with duckdb.connect(building) as connection:
        connection.execute("create schema marts; create table marts.m as select count(*) as n from lake.s__rows")
    return DbtRun([ran("model.m", "success"), ran("test.t", "pass")], {}, "")


def ran(unique_id: str, status: str, failures: int = 0, compiled: str = "", message: str = "") -> NodeRun:
    return NodeRun(unique_id, status, 0.1, message, failures, compiled)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"), tmp_path / "work")
    publish(lake, "s/rows", [pl.DataFrame({"id": ["a"]})])
    return lake


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The files that dbt was called for."""
    called: list[Path] = []

    def play(manifest: object, building: Path, target: Path) -> DbtRun:
        called.append(building)
        return play_dbt(manifest, building, target)

    monkeypatch.setattr(warehouse, "dbt_build", play)
    return called


def build(lake: Lake, home: Home) -> tuple[Stamp, bool]:
    return build_warehouse(lake, home, MANIFEST, lambda line: None)


def count(home: Home) -> object:
    with duckdb.connect(home.warehouse, read_only=True) as connection:
        return connection.execute("select n from marts.m").fetchall()[0][0]


def test_unchanged_lake_is_not_built_again(lake: Lake, home: Home, builds: list[Path]) -> None:
    """Reuse must say the same of the marts and checks as the build did."""
    first, reused_first = build(lake, home)
    second, reused_second = build(lake, home)
    assert (reused_first, reused_second, len(builds)) == (False, True, 1)
    assert second == first
    assert set(second.models) == {"model.m"}
    assert second.tests["test.t"].status == "pass"


def change_rows(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    publish(lake, "s/rows", [pl.DataFrame({"id": ["a", "b"]})], version="2")


def change_version_only(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    publish(lake, "s/rows", [pl.DataFrame({"id": ["a"]})], version="2")


def add_dataset(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    publish(lake, "s/more", [pl.DataFrame({"id": ["a"]})])


def change_project(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(warehouse, "project_digest", lambda: "another")


def change_library(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(warehouse.metadata, "version", lambda name: "99")


def change_code(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(warehouse, "code_closure", lambda function: {"assets.core.catalog": "another"})


def remove_warehouse(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    home.warehouse.unlink()


def write_to_warehouse(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    with duckdb.connect(home.warehouse) as connection:
        connection.execute("delete from marts.m")


def tear_stamp(lake: Lake, home: Home, patch: pytest.MonkeyPatch) -> None:
    stamp = home.warehouse.with_suffix(".json")
    stamp.write_bytes(stamp.read_bytes()[:100])


@pytest.mark.parametrize(
    "change",
    [
        change_rows,
        change_version_only,
        add_dataset,
        change_project,
        change_library,
        change_code,
        remove_warehouse,
        write_to_warehouse,
        tear_stamp,
    ],
)
def test_every_ingredient_counts(
    change: Callable[[Lake, Home, pytest.MonkeyPatch], None],
    lake: Lake,
    home: Home,
    builds: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cache that misses an ingredient shows yesterday's marts as today's; views name files, so versions count."""
    build(lake, home)
    change(lake, home, monkeypatch)
    assert not build(lake, home)[1]
    assert build(lake, home)[1]
    assert len(builds) == 2
    assert count(home) == lake.get("s/rows").rows


def test_equal_content_has_the_same_data_version(lake: Lake, home: Home, builds: list[Path]) -> None:
    """A rebuild over equal rows must not make downstream stale."""
    first, _ = build(lake, home)
    publish(lake, "s/rows", [pl.DataFrame({"id": ["a"]})], version="2")
    second, reused = build(lake, home)
    assert not reused
    assert second.models["model.m"].digest == first.models["model.m"].digest


def test_failed_build_leaves_the_last_good_one(
    lake: Lake, home: Home, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marts whose tests fail are never seen; the failing rows are, and the good warehouse still counts as built."""
    good, _ = build(lake, home)
    first = lake.get("s/rows")
    publish(lake, "s/rows", [pl.DataFrame({"id": ["a", "b"]})], version="2")

    def fail(manifest: object, building: Path, target: Path) -> DbtRun:
        play_dbt(manifest, building, target)
        broken = ran("test.t", "fail", 1, "select n from marts.m", "Got 1 result")
        return DbtRun([ran("model.m", "success"), broken, ran("test.late", "skipped")], {}, "")

    monkeypatch.setattr(warehouse, "dbt_build", fail)
    with pytest.raises(BuildError, match=r"1 of 3 .* failed\n  test\.t: Got 1 result") as caught:
        build(lake, home)
    assert list(caught.value.tests) == ["test.t"]
    assert caught.value.tests["test.t"].rows == "| n |\n| --- |\n| 2 |"
    assert count(home) == 1
    lake.point(first)
    assert build(lake, home) == (good, True)


def test_dbt_that_never_ran_fails_in_its_own_words(lake: Lake, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that cannot be parsed has no results at all: that is no success."""
    monkeypatch.setattr(warehouse, "dbt_build", lambda *given: DbtRun([], {}, "Compilation Error in model m"))
    with pytest.raises(BuildError, match="Compilation Error in model m"):
        build(lake, home)
    assert not home.warehouse.exists()


def die(*given: object) -> None:
    raise OSError("killed")


def test_kill_between_warehouse_and_stamp(
    lake: Lake, home: Home, builds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp of an older build must not vouch for a file that came after it, not even when the lake goes back."""
    build(lake, home)
    first = lake.get("s/rows")
    publish(lake, "s/rows", [pl.DataFrame({"id": ["a", "b"]})], version="2")
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "write", die)
        with pytest.raises(OSError, match="killed"):
            build(lake, home)
    lake.point(first)
    assert not build(lake, home)[1]
    assert count(home) == 1


def test_killed_build_is_built_again(lake: Lake, home: Home) -> None:
    """kill -9 while dbt runs: nothing is published, nothing stays locked, and what was left over is cleared away."""
    command = [sys.executable, "-c", IN_A_PROCESS, str(home.root), "60"]
    process = subprocess.Popen(command, cwd=CHECKOUT)
    deadline = time.monotonic() + 60
    while not (home.root / "builds").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = list((home.root / "dbt").iterdir())
    assert len(left) == 1
    assert not home.warehouse.exists()
    command[-1] = "0"
    assert subprocess.check_output(command, cwd=CHECKOUT, text=True) == "built\n"
    assert not left[0].exists()
    assert count(home) == 1


def test_two_processes_build_once(lake: Lake, home: Home) -> None:
    """The second one waits for the first and finds its work done."""
    command = [sys.executable, "-c", IN_A_PROCESS, str(home.root), "1"]
    both = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate()[0].strip() for process in both)
    assert said == ["built", "reused"]
    assert (home.root / "builds").read_text() == "built\n"


def test_content_digest_knows_rows_not_their_order() -> None:
    """The data version of a mart: a changed, doubled or renamed row moves it, another order does not."""
    with duckdb.connect() as connection:

        def digest(query: str) -> str:
            return content_digest(connection, f"({query})")[0]

        rows = "select * from (values (1, 'a'), (2, 'b')) t(n, s)"
        assert digest(rows) == digest("select * from (values (2, 'b'), (1, 'a')) t(n, s)")
        others = [
            "select * from (values (1, 'b'), (2, 'a')) t(n, s)",
            "select * from (values (1, 'a'), (2, 'b'), (2, 'b')) t(n, s)",
            "select * from (values (1, 'a'), (2, null)) t(n, s)",
            "select * from (values (1, 'a'), (2, 'b')) t(n, other)",
            "select n::bigint as n, s from (values (1, 'a'), (2, 'b')) t(n, s)",
            f"{rows} limit 0",
        ]
        assert len({digest(rows), *map(digest, others)}) == 1 + len(others)


def test_project_digest_follows_the_files(tmp_path: Path) -> None:
    """An edited, renamed or deleted model is another project; what dbt writes into it is not."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/m.sql").write_text("select 1")
    (tmp_path / "dbt_project.yml").write_text("name: p")
    digests = [project_digest(tmp_path)]
    (tmp_path / "target").mkdir()
    (tmp_path / "target/m.sql").write_text("compiled")
    assert project_digest(tmp_path) == digests[0]
    (tmp_path / "models/m.sql").write_text("select 2")
    digests.append(project_digest(tmp_path))
    (tmp_path / "models/m.sql").rename(tmp_path / "models/n.sql")
    digests.append(project_digest(tmp_path))
    (tmp_path / "models/n.sql").unlink()
    digests.append(project_digest(tmp_path))
    assert len(set(digests)) == 4
