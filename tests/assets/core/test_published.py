"""Partitions that are published while another asset is made."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.core.lake import DatasetWriter, Lake
from assets.core.published import Published, rows_and_numbers
from assets.core.recipe import recipe
from assets.core.resources import LakeResource

PARTS = "toy/parts"
DONE: list[int] = []
DIES_AFTER: list[int] = []


class WholeConfig(dg.Config):
    factor: int = 1


@recipe("toy/whole", ledger=False, publishes=PARTS)
def whole(out: DatasetWriter, config: WholeConfig, published: Published) -> None:
    """Three parts, and all of them."""
    for number in range(3):
        rows = pl.DataFrame({"id": [str(number)], "number": [number * config.factor]})

        def fill(out: DatasetWriter, rows: pl.DataFrame = rows, number: int = number) -> None:
            DONE.append(number)
            rows_and_numbers(rows, {"share": 0.5, "name": "left out"})(out)

        published.publish(str(number), out.fingerprint, fill)
        if number in DIES_AFTER:
            raise RuntimeError("killed")
    out.write(pl.DataFrame({"id": ["all"], "number": [3]}))


parts = dg.AssetSpec(PARTS.split("/"), partitions_def=dg.DynamicPartitionsDefinition(name=PARTS))


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = dg.DagsterInstance.ephemeral()
        self.lake = Lake(str(folder / "lake"), folder / "work")

    def run(self, factor: int = 1, dies_after: int | None = None) -> list[int]:
        """Which parts were made."""
        DONE.clear()
        DIES_AFTER[:] = [] if dies_after is None else [dies_after]
        result = dg.materialize(
            [whole, parts], selection=[whole.key], instance=self.instance, raise_on_error=False,
            resources={"lake": LakeResource(root=str(self.folder / "lake"), work=str(self.folder / "work"))},
            run_config={"ops": {"toy__whole": {"config": {"factor": factor}}}},
        )  # fmt: skip
        assert result.success == (dies_after is None)
        return list(DONE)

    def events(self) -> list[dg.AssetMaterialization]:
        """What Dagster knows of the parts, oldest first."""
        found = self.instance.fetch_materializations(dg.AssetKey(PARTS.split("/")), limit=100).records
        return [record.asset_materialization for record in reversed(found) if record.asset_materialization]

    def numbers(self) -> list[int]:
        return [self.lake.get(PARTS, str(number)).read()["number"].item() for number in range(3)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_parts_appear_in_dagster(home: Home) -> None:
    """Each with its rows in the lake, its content's digest, and its numbers for the plots; text is no number."""
    assert home.run() == [0, 1, 2]
    assert home.instance.get_dynamic_partitions(PARTS) == ["0", "1", "2"]
    events = home.events()
    assert [event.partition for event in events] == ["0", "1", "2"]
    for event, dataset in zip(events, home.lake.partitions(PARTS).values(), strict=True):
        assert (event.tags or {})["dagster/data_version"] == dataset.digest
        assert event.metadata["share"].value == 0.5
        assert "name" not in event.metadata
    assert home.numbers() == [0, 1, 2]


def test_what_was_published_before_a_kill_stays(home: Home) -> None:
    """Neither made nor told again."""
    assert home.run(dies_after=1) == [0, 1]
    assert home.run() == [2]
    assert [event.partition for event in home.events()] == ["0", "1", "2"]
    assert home.run() == []
    assert len(home.events()) == 3


@pytest.mark.parametrize("lost", ["add_dynamic_partitions", "log_event"])
def test_a_kill_between_lake_and_dagster(home: Home, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from a part that lies in the lake for ever and is seen by nobody."""

    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    owner = dg.DagsterInstance if lost == "add_dynamic_partitions" else dg.AssetExecutionContext
    with monkeypatch.context() as patch:
        patch.setattr(owner, lost, killed)
        home.run(dies_after=0)
    assert home.events() == []
    assert home.run() == [1, 2]
    assert [event.partition for event in home.events()] == ["0", "1", "2"]


def test_parts_follow_the_asset_that_made_them(home: Home) -> None:
    """Made anew for another fingerprint; back at an earlier one, after a kill, its parts are the current ones again."""
    home.run(dies_after=1)
    assert home.run(factor=5) == [0, 1, 2]
    assert home.numbers() == [0, 5, 10]
    assert home.run() == [2]
    assert home.numbers() == [0, 1, 2]
    versions = [(event.tags or {})["dagster/data_version"] for event in home.events() if event.partition == "1"]
    assert len(versions) == 3
    assert versions[0] == versions[2] != versions[1]
