"""The dbt project as assets: what is declared, and what a real build over a small lake gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import duckdb
import jinja2
import numpy as np
import polars as pl
import pytest
import yaml

from assets.clusterclip.claims import MIN_DOCUMENTS_PER_PACKAGE
from assets.clusterclip.measure import (
    macro_bits_per_byte,
    micro_bits_per_byte,
    rare_cluster_gap,
    rare_clusters,
    worst_quartile_bits_per_byte,
)
from assets.core.errors import AthanorError
from assets.core.home import CHECKOUT, Home
from assets.core.lake import Lake
from assets.core.resources import LakeResource
from orchestration import dbt
from orchestration.dbt import dbt_assets, prepare_manifest, read_manifest
from orchestration.dbt_cli import PROJECT
from orchestration.warehouse import Manifest
from tests.orchestration import tiny_lake
from tests.orchestration.tiny_lake import PLANS, SEEDS, publish

REUSE = """
import sys
import dagster as dg
from assets.core.resources import LakeResource
from orchestration.dbt import dbt_assets
lake = LakeResource(root=sys.argv[1], work=sys.argv[2])
result = dg.materialize([dbt_assets()], resources={"lake": lake})
for event in result.get_asset_materialization_events():
    found = event.materialization
    print(found.asset_key.to_user_string(), found.tags["dagster/data_version"], found.metadata["reused"].value)
print(len(result.get_asset_check_evaluations()), "checks")
print(sorted({"dbt", "dagster_dbt", "duckdb"} & sys.modules.keys()))
"""


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(prepare_manifest())


@pytest.fixture(scope="module")
def asset(manifest: Manifest) -> dg.AssetsDefinition:
    return dbt_assets()


@dataclass(frozen=True)
class Built:
    """A build over the tiny lake."""

    lake: Lake
    home: Home
    result: dg.ExecuteInProcessResult
    written: frozenset[Path] = frozenset()
    """Files that appeared in the project meanwhile."""

    @property
    def materializations(self) -> dict[str, dg.AssetMaterialization]:
        events = self.result.get_asset_materialization_events()
        return {event.asset_key.to_user_string(): event.materialization for event in events if event.asset_key}

    def sql(self, query: str) -> pl.DataFrame:
        with duckdb.connect(self.home.warehouse, read_only=True) as connection:
            found = connection.execute(query)
            names = [column[0] for column in found.description or []]
            return pl.DataFrame(found.fetchall(), schema=names, orient="row", infer_schema_length=None)

    def again(self, *, raise_on_error: bool = True) -> Built:
        return Built(self.lake, self.home, materialize(self.home, raise_on_error=raise_on_error))


def materialize(home: Home, *, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    resources = {"lake": LakeResource(root=home.lake, work=str(home.work))}
    return dg.materialize([dbt_assets()], resources=resources, raise_on_error=raise_on_error)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> Iterator[Built]:
    home = Home(tmp_path_factory.mktemp("a home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATHANOR_HOME", str(home.root))
        patch.delenv("ATHANOR_LAKE", raising=False)
        lake = tiny_lake.tiny_lake(home.root)
        before = set(PROJECT.rglob("*"))
        result = materialize(home)
        yield Built(lake, home, result, frozenset(PROJECT.rglob("*")) - before)


def test_importing_and_declaring_loads_no_dbt(manifest: Manifest) -> None:
    """A code location that imports dbt takes seconds longer to load, each time."""
    code = (
        "import sys; from orchestration.dbt import dbt_assets; dbt_assets(); "
        "print(sorted({'dbt', 'dagster_dbt', 'duckdb', 'polars', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=CHECKOUT, text=True) == "[]\n"


def test_keys_and_groups_follow_the_folders(asset: dg.AssetsDefinition) -> None:
    """Jobs select by group, people look for `marts/leaderboard`."""
    keys = {spec.key.to_user_string() for spec in asset.specs}
    assert {f"marts/{name}" for name in ("funnel", "mixtures", "leaderboard", "claims", "lineage")} <= keys
    for spec in asset.specs:
        assert spec.group_name == spec.key.path[0]
        assert spec.kinds == {"dbt", "duckdb"}
        assert spec.code_version


def test_every_dependency_is_an_asset_of_the_graph(asset: dg.AssetsDefinition) -> None:
    """A source mapped to a key that no asset has would let the marts run before their rows are there."""
    from orchestration.definitions import MODULES

    made = {key for found in dg.load_assets_from_modules(MODULES) for key in getattr(found, "keys", ())}
    own = {spec.key for spec in asset.specs}
    needed = {dep.asset_key for spec in asset.specs for dep in spec.deps}
    assert needed <= made | own
    arms = {key for key in made if key.path[:2] in (["clusterclip", "scores"], ["clusterclip", "checkpoint"])}
    assert len(arms) > 2
    assert arms <= needed


def test_every_model_and_column_is_described_and_typed(manifest: Manifest) -> None:
    """What nobody described, nobody can use; the types are contracts that dbt enforces."""
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    for node in [*nodes, *manifest["sources"].values()]:
        assert node["description"], node["name"]
        for column in node["columns"].values():
            assert column["description"], (node["name"], column["name"])
            assert column["data_type"], (node["name"], column["name"])
    assert all(node["config"]["contract"]["enforced"] for node in nodes)


def test_mart_tests_of_severity_error_block(asset: dg.AssetsDefinition) -> None:
    """Wrong marts must stop what is built from them; warnings and staging tests must not."""
    specs = {f"{spec.asset_key.to_user_string()}:{spec.name}": spec for spec in asset.check_specs}
    assert specs["marts/claims:accepted_values_verdict"].blocking
    assert specs["marts/funnel:funnel_adds_up"].blocking
    assert specs["marts/leaderboard:leaderboard_means_over_groups_then_over_seeds"].blocking
    assert not specs["marts/lineage:scores_lead_back_to_training_documents"].blocking
    assert not specs["staging/stg_scores:unique_score_id"].blocking


def test_manifest_is_made_again_only_when_the_project_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale manifest declares assets that are gone; parsing each time would cost seconds."""
    parsed: list[Path] = []

    def parse(target: Path) -> None:
        parsed.append(target)
        (target / "manifest.json").write_text(json.dumps({"made": len(parsed)}))

    monkeypatch.setattr(dbt, "MANIFEST", tmp_path / "target" / "manifest.json")
    monkeypatch.setattr(dbt, "dbt_parse", parse)
    monkeypatch.setattr(dbt, "project_digest", lambda: "one")
    assert read_manifest(prepare_manifest()) == read_manifest(prepare_manifest()) == {"made": 1}
    monkeypatch.setattr(dbt, "project_digest", lambda: "two")
    assert read_manifest(prepare_manifest()) == {"made": 2}


def test_missing_manifest_says_what_to_do(tmp_path: Path) -> None:
    """The first error of a fresh checkout."""
    with pytest.raises(AthanorError, match="prepare_manifest"):
        dbt_assets(tmp_path / "manifest.json")


def test_project_changed_since_loading_asks_for_a_reload(tmp_path: Path, manifest: Manifest) -> None:
    """dbt would build models that Dagster does not know, or the other way round."""
    nodes = {name: node for name, node in manifest["nodes"].items() if "lineage" not in json.dumps(node)}
    units = {name: node for name, node in manifest["unit_tests"].items() if node["model"] != "lineage"}
    older = tmp_path / "manifest.json"
    older.write_text(json.dumps({**manifest, "nodes": nodes, "unit_tests": units}))
    resources = {"lake": LakeResource(root=str(tmp_path / "lake"), work=str(tmp_path / "work"))}
    with pytest.raises(dg.Failure, match="reload the code location"):
        dg.materialize([dbt_assets(older)], resources=resources)


@pytest.mark.slow
def test_build_materializes_all_with_metadata(built: Built, asset: dg.AssetsDefinition) -> None:
    """Rows, columns, lineage of columns, preview and a data version, for every model; every test is a check."""
    found = built.materializations
    assert found.keys() == {spec.key.to_user_string() for spec in asset.specs}
    for materialization in found.values():
        assert {"dagster/row_count", "dagster/column_schema", "dagster/column_lineage", "preview", "path"} <= (
            materialization.metadata.keys()
        )
        assert materialization.metadata["reused"].value is False
        assert materialization.tags is not None
        assert len(materialization.tags["dagster/data_version"]) == 64
    checks = built.result.get_asset_check_evaluations()
    assert {(check.asset_key, check.check_name) for check in checks} == {
        (spec.asset_key, spec.name) for spec in asset.check_specs
    }
    assert [check.check_name for check in checks if not check.passed] == []


@pytest.mark.slow
def test_column_lineage_leads_from_marts_to_the_lake(built: Built) -> None:
    """From a number on the leaderboard to the columns of the datasets it was computed from."""

    def lineage(key: str, column: str) -> set[tuple[str, str]]:
        value = built.materializations[key].metadata["dagster/column_lineage"].value
        return {(dep.asset_key.to_user_string(), dep.column_name) for dep in value.deps_by_column[column]}

    assert {("staging/stg_scores", "bits"), ("staging/stg_scores", "n_bytes")} <= lineage(
        "marts/leaderboard", "micro_bpb"
    )
    assert ("clusterclip/scores/random", "bits") in lineage("staging/stg_scores", "bits")
    assert lineage("staging/stg_documents", "document_id") == {("corpora/clean_documents", "id")}
    assert lineage("staging/stg_edges", "child_id") == set()


@pytest.mark.slow
def test_leaderboard_agrees_with_the_claims_definitions(built: Built) -> None:
    """The same metric under two definitions, in SQL and in Python, would let a table contradict a claim."""
    sizes = tiny_lake.clusters().join(tiny_lake.tokens(), on="id").filter(pl.col("split") == "train")
    rare = rare_clusters(sizes["cluster"].to_numpy(), sizes["n_tokens"].to_numpy())
    found = {row["plan"]: row for row in built.sql("select * from marts.leaderboard").iter_rows(named=True)}
    assert found.keys() == set(PLANS)
    for plan in PLANS:
        expected = []
        for seed in SEEDS:
            rows = tiny_lake.scores(plan, seed)
            heldout = rows.filter(pl.col("split") == "heldout")
            bits, n_bytes, cluster = heldout["bits"], heldout["n_bytes"], heldout["cluster"]
            expected.append(
                (
                    micro_bits_per_byte(bits, n_bytes),
                    macro_bits_per_byte(bits, n_bytes, cluster),
                    macro_bits_per_byte(bits, n_bytes, heldout["package"], min_documents=MIN_DOCUMENTS_PER_PACKAGE),
                    worst_quartile_bits_per_byte(bits, n_bytes, cluster),
                    rare_cluster_gap(
                        rows["bits"],
                        rows["n_bytes"],
                        rows["cluster"].to_numpy(),
                        (rows["split"] == "train").to_numpy(),
                        rare,
                    ),
                )
            )
        names = ("micro_bpb", "macro_cluster_bpb", "macro_package_bpb", "worst_quartile_bpb", "rare_cluster_gap")
        assert [found[plan][name] for name in names] == pytest.approx(np.mean(expected, axis=0).tolist(), rel=1e-12)
        assert (found[plan]["n_seeds"], found[plan]["n_documents"]) == (len(SEEDS), 15)
        assert (found[plan]["trained_tokens"], found[plan]["final_loss"]) == (490, 3.5)


def test_package_minimum_is_that_of_the_claims() -> None:
    """The leaderboard and the claims average over the same packages."""
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
    assert project["vars"]["min_documents_per_package"] == MIN_DOCUMENTS_PER_PACKAGE


@pytest.mark.slow
def test_mixtures_account_for_every_draw(built: Built) -> None:
    """Draws and tokens by plan, seed, cluster and package, as polars adds them up."""
    keys = ["plan", "seed", "cluster", "package"]
    drawn = pl.concat([tiny_lake.draws(plan, seed) for plan in PLANS for seed in SEEDS])
    expected = (
        drawn.join(tiny_lake.documents().select("id", "package"), left_on="document_id", right_on="id")
        .group_by(keys)
        .agg(n_draws=pl.len(), n_tokens=pl.col("n_tokens").sum(), max_repetition=pl.col("repetition").max())
        .sort(keys)
    )
    found = built.sql(f"select {', '.join(keys)}, n_draws, n_tokens, max_repetition from marts.mixtures")
    assert found.sort(keys).rows() == expected.rows()


@pytest.mark.slow
def test_funnel_claims_and_lineage_show_the_lake(built: Built) -> None:
    """The marts that hand the lake's own records on."""
    funnel = built.sql("select outcome, reason, n_rows from marts.funnel where asset = 'corpora/clean_documents'")
    assert sorted(funnel.rows()) == [
        ("dropped", "exact_duplicate", 2),
        ("dropped", "too_short", 3),
        ("failed", "", 0),
        ("in", "", 65),
        ("out", "", 60),
    ]
    assert built.sql("select claim_id, verdict from marts.claims").rows() == [("claim-1", "inconclusive")]
    parents = built.sql("select parent_id from marts.lineage where child_id = 'score-random-0-7'")
    assert set(parents["parent_id"]) == {"document-7", "checkpoint-random-0"}


@pytest.mark.slow
def test_a_score_leads_back_to_the_documents_that_made_it(built: Built, manifest: Manifest) -> None:
    """The question that the lineage is there for: all training documents, and not the held-out one that was scored."""
    raw = manifest["nodes"]["analysis.athanor.documents_of_a_score"]["raw_code"]
    schemas = {node["name"]: node["schema"] for node in manifest["nodes"].values()}
    query = jinja2.Template(raw).render(
        ref=lambda name: f"{schemas[name]}.{name}", var=lambda name: "score-clusterclip-1-8"
    )
    found = built.sql(query)
    drawn = tiny_lake.draws("clusterclip", 1)
    expected = drawn.group_by("document_id").agg(n_draws=pl.len(), n_tokens=pl.col("n_tokens").sum())
    assert sorted(found.select("document_id", "n_draws", "n_tokens").rows()) == sorted(expected.rows())
    assert set(found["score_id"]) == {"score-clusterclip-1-8"}
    assert "document-8" not in found["document_id"]
    worst = built.sql(jinja2.Template(raw).render(ref=lambda name: f"{schemas[name]}.{name}", var=lambda name: ""))
    assert worst["score_id"].n_unique() == 1


@pytest.mark.slow
def test_nothing_is_written_into_the_project(built: Built) -> None:
    """A checkout may be read-only or shared; targets and logs belong into the home."""
    assert not built.written
    (run,) = (built.home.root / "dbt").iterdir()
    assert (run / "target/dbt.log").exists()


@pytest.mark.slow
def test_second_run_reuses_without_loading_dbt(built: Built) -> None:
    """Nothing changed: the same versions and checks at once, in a new process."""
    command = [sys.executable, "-c", REUSE, built.home.lake, str(built.home.work)]
    *lines, checks, loaded = subprocess.check_output(command, cwd=CHECKOUT, text=True).splitlines()
    expected = {f"{key} {found.tags['dagster/data_version']} True" for key, found in built.materializations.items()}
    assert set(lines) == expected
    assert checks == f"{len(built.result.get_asset_check_evaluations())} checks"
    assert loaded == "[]"


@pytest.mark.slow
def test_failed_tests_fail_the_asset_and_show_their_rows(built: Built, manifest: Manifest) -> None:
    """A verdict that nobody defined, and a plan whose document left the lake: an error and a warning, both with rows.

    The warehouse stays what it was; with the rows corrected, the rebuild has the data versions of the first build.
    """
    before = built.home.warehouse.stat()
    publish(built.lake, "claims/clusterclip", [tiny_lake.claims("splendid")], version="2")
    publish(built.lake, "corpora/clean_documents", [tiny_lake.documents()[1:]], dropped={"too_short": 6}, version="2")
    failed = built.again(raise_on_error=False)
    assert not failed.result.success
    (failure,) = [event for event in failed.result.all_events if event.is_step_failure]
    description = failure.step_failure_data.user_failure_data.description
    assert "accepted_values_claims_verdict" in description
    assert "configured to fail if != 0" in description
    assert "the last good warehouse is unchanged" in description
    checks = {check.check_name: check for check in failed.result.get_asset_check_evaluations() if not check.passed}
    assert checks["accepted_values_verdict"].severity == dg.AssetCheckSeverity.ERROR
    assert "splendid" in checks["accepted_values_verdict"].metadata["rows"].value
    assert checks["relationships_document_id"].severity == dg.AssetCheckSeverity.WARN
    assert failed.materializations == {}
    assert built.home.warehouse.stat() == before

    publish(built.lake, "claims/clusterclip", [tiny_lake.claims()], version="3")
    half = tiny_lake.DOCUMENTS // 2
    frames = [tiny_lake.documents()[half:], tiny_lake.documents()[:half]]
    dropped = {"too_short": 3, "exact_duplicate": 2}
    publish(built.lake, "corpora/clean_documents", frames, dropped=dropped, version="3")
    repaired = built.again()
    versions = {key: found.tags["dagster/data_version"] for key, found in repaired.materializations.items()}
    assert versions == {key: found.tags["dagster/data_version"] for key, found in built.materializations.items()}
    assert not any(found.metadata["reused"].value for found in repaired.materializations.values())


@pytest.mark.slow
def test_dbt_builds_over_an_empty_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: Manifest) -> None:
    """A user who built nothing yet sees empty marts, not an error; and the process stays in its folder."""
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path))
    monkeypatch.delenv("ATHANOR_LAKE", raising=False)
    monkeypatch.chdir(tmp_path)
    result = materialize(Home(tmp_path))
    assert Path.cwd() == tmp_path
    rows = {
        event.materialization.metadata["dagster/row_count"].value for event in result.get_asset_materialization_events()
    }
    assert rows == {0}
