"""Equal ingredients do no work; each ingredient that changes rebuilds exactly what depends on it."""

from __future__ import annotations

import importlib.util
import itertools
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from assets.core.lake import Lake
from assets.core.recipe import LEDGER_CHECK
from assets.core.resources import LakeResource
from tests.assets.core import toys

GRAPH = ("source", "doubled", "plan", "odd", "even")
NUMBER = itertools.count()


class World:
    """A lake, a corpus file and a module of recipes, whose code may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "numbers.txt"
        self.file.write_text("1 2 3")
        self.lake = Lake(str(root / "lake"), root / "work")
        self.text = Path(str(toys.__file__)).read_text()
        self.toys: ModuleType = self._load()
        self.result: dg.ExecuteInProcessResult

    def _load(self) -> ModuleType:
        """The toys as a module that lies in the world's own folder."""
        path = self.root / "toys.py"
        path.write_text(self.text)
        name = f"toys_{next(NUMBER)}"
        spec = importlib.util.spec_from_file_location("toys", path)
        assert spec is not None
        assert spec.loader is not None
        # Under one name, because a module's name is part of what is fingerprinted.
        module = sys.modules["toys"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[name] = module
        return module

    def edit(self, old: str, new: str) -> None:
        """Change the recipes' code and load it, as a restart does."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        self.toys = self._load()

    def run(
        self, *names: str, partition: str | None = None, engine: dict[str, Any] | None = None, **config: Any
    ) -> list[str]:
        """Materialize assets; what ran, in order. `config` is given to those that take it."""
        self.toys.CALLED.clear()
        given = {"source": {"path": str(self.file)}} | config
        self.result = dg.materialize(
            [getattr(self.toys, name) for name in names],
            instance=dg.DagsterInstance.ephemeral(),
            resources={
                "lake": LakeResource(root=str(self.root / "lake"), work=str(self.root / "work")),
                "engine": self.toys.Engine(**(engine or {})),
            },
            run_config={"ops": {f"toy__{name}": {"config": given[name]} for name in names if name in given}},
            partition_key=partition,
            raise_on_error=False,
        )
        return list(self.toys.CALLED)

    def events(self) -> dict[str, dg.AssetMaterialization]:
        found = {}
        for event in self.result.get_asset_materialization_events():
            materialization = event.step_materialization_data.materialization
            found[materialization.asset_key.path[-1]] = materialization
        return found

    def data_versions(self) -> dict[str, str]:
        return {name: str((event.tags or {})["dagster/data_version"]) for name, event in self.events().items()}

    def metadata(self, name: str) -> dict[str, Any]:
        return {key: value.value for key, value in self.events()[name].metadata.items()}

    def failure(self) -> str:
        """The message of the first failed step."""
        failed = next(event.step_failure_data for event in self.result.all_events if event.is_step_failure)
        if failed.user_failure_data is not None:
            return str(failed.user_failure_data.description)
        error = failed.error
        while error.cause is not None:
            error = error.cause
        return str(error.message)

    def checks(self) -> dict[str, bool]:
        return {check.check_name: check.passed for check in self.result.get_asset_check_evaluations()}

    def numbers(self, name: str, partition: str = "") -> list[int]:
        return self.lake.get(f"toy/{name}", partition).read()["number"].to_list()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path)
    for name in [name for name in sys.modules if name == "toys" or name.startswith("toys_")]:
        del sys.modules[name]


def test_equal_runs_do_no_work(world: World) -> None:
    """A second run calls no function, says so, and reports the same data versions."""
    assert world.run(*GRAPH) == ["source", "doubled", "plan", "count even", "count odd"]
    first = world.data_versions()
    assert not any(world.metadata(name)["reused"] for name in GRAPH)
    assert first == {name: world.lake.get(f"toy/{name}").digest for name in GRAPH}
    assert world.run(*GRAPH) == []
    assert world.result.success
    assert world.data_versions() == first
    assert all(world.metadata(name)["reused"] is True for name in GRAPH)


def test_a_new_process_reuses_too(world: World) -> None:
    """Code that is loaded again, unchanged but for comments and layout, has the same fingerprint."""
    world.run(*GRAPH)
    world.edit("CALLED: list[str] = []", "# what ran\n\n\nCALLED: list[str] = []")
    world.edit('    """Numbers of a file, in ascending order."""\n', '    """Numbers."""\n')
    assert world.run(*GRAPH) == []


def test_a_config_value_rebuilds_what_follows(world: World) -> None:
    """Stock Dagster does not look at configuration: this one does."""
    world.run(*GRAPH)
    config = {"path": str(world.file), "shortest": 2}
    assert world.run(*GRAPH, source=config) == ["source", "doubled", "plan", "count odd"]
    assert world.numbers("doubled") == [4, 6]


def test_an_input_row_rebuilds_what_follows(world: World) -> None:
    """A changed line in a file outside the graph arrives at the end of it."""
    world.run(*GRAPH)
    world.file.write_text("1 2 5")
    assert world.run("source", "doubled") == ["source", "doubled"]
    assert world.numbers("doubled") == [2, 4, 10]


def test_equal_content_cuts_the_rebuild_off(world: World) -> None:
    """An upstream that is rebuilt to the same rows leaves what follows as it is (early cut-off)."""
    world.run(*GRAPH)
    before = world.data_versions()
    world.file.write_text("1   2\n3\n")
    assert world.run(*GRAPH) == ["source"]
    assert world.data_versions() == before
    assert [name for name in GRAPH if not world.metadata(name)["reused"]] == ["source"]


def test_a_part_rebuilds_only_its_consumer(world: World) -> None:
    """Of two arms of one plan, the one whose draws did not change is not trained again."""
    world.run(*GRAPH)
    world.file.write_text("1 2 3 4")
    assert world.run(*GRAPH) == ["source", "doubled", "plan", "count even"]
    assert world.numbers("even") == [2]
    assert world.numbers("odd") == [2]


def test_a_line_of_code_rebuilds_what_follows(world: World) -> None:
    """A changed constant that one recipe uses rebuilds it, and none of its module's other recipes."""
    world.run(*GRAPH)
    world.edit("FACTOR = 2", "FACTOR = 3")
    assert world.run(*GRAPH) == ["doubled"]
    assert world.numbers("doubled") == [3, 6, 9]
    world.edit("int(line) < config.shortest", "int(line) <= config.shortest")
    assert world.run(*GRAPH) == ["source"]


def test_code_of_external_counts(world: World) -> None:
    """Another way to look at the outside world is another ingredient, even if it sees the same."""
    world.run("source")
    world.edit("return {config.path:", "return {} | {config.path:")
    assert world.run("source") == ["source"]


def test_going_back_does_no_work(world: World) -> None:
    """Trying another value and returning costs nothing, and downstream follows both ways."""
    world.run("source", "doubled")
    before = world.data_versions()
    other = {"path": str(world.file), "shortest": 3}
    assert world.run("source", "doubled", source=other) == ["source", "doubled"]
    assert world.numbers("doubled") == [6]
    assert world.run("source", "doubled") == []
    assert world.data_versions() == before
    assert world.numbers("doubled") == [2, 4, 6]


def test_partitions_have_results_of_their_own(world: World) -> None:
    """A seed is an ingredient; a partitioned input is read at the same seed, an unpartitioned one by all."""
    world.run("source")
    names = ("seeded", "followed")
    assert world.run(*names, partition="0") == ["seeded 0", "followed 0"]
    assert world.run(*names, partition="1") == ["seeded 1", "followed 1"]
    assert world.run(*names, partition="0") == []
    assert world.metadata("followed")["dagster/partition_row_count"] == 1
    zero, one = (world.lake.get("toy/seeded", seed) for seed in "01")
    assert zero.digest != one.digest
    assert zero.manifest.fingerprint != one.manifest.fingerprint, "trainer states lie under the fingerprint"


def test_all_partitions_are_read_and_a_new_one_counts(world: World) -> None:
    """A leaderboard over seeds is rebuilt when a seed is added, and not otherwise."""
    world.run("source")
    for seed in "01":
        world.run("seeded", partition=seed)
    assert world.run("united") == ["united 0,1"]
    assert world.run("united") == []
    world.run("seeded", partition="2")
    assert world.run("united") == ["united 0,1,2"]
    assert world.lake.get("toy/united").read()["seed"].to_list() == ["0", "1", "2"]


def test_identity_of_a_resource_counts(world: World) -> None:
    """Another model behind an engine gives other answers; another batch size does not."""
    assert world.run("answers") == ["answers"]
    assert world.run("answers", engine={"batch": 64}) == []
    assert world.run("answers", engine={"model": "large"}) == ["answers"]
    assert world.lake.get("toy/answers").read()["model"].to_list() == ["large"]


def test_a_tokenizer_is_an_ingredient_by_its_files(world: World) -> None:
    """A tokenizer trained to other files changes the tokens; one trained to equal files does not."""
    names = ("tokenizer", "tokens")
    assert world.run(*names, tokenizer={"name": "a"}) == ["tokenizer", "tokens"]
    assert world.run(*names, tokenizer={"name": "A"}) == ["tokenizer"]
    assert world.run(*names, tokenizer={"name": "b"}) == ["tokenizer", "tokens"]
    assert world.lake.get("toy/tokens").read()["text"].to_list() == ["b"]


def test_a_failed_check_stops_what_follows(world: World) -> None:
    """A version that is not good does not become current, and nothing is made from it."""
    names = ("judged", "after")
    assert world.run(*names, judged={"name": "good"}) == ["judged", "after"]
    good = world.lake.get("toy/judged")
    assert world.checks() == {"is_good": True, "is_finite": True}
    for _ in range(2):
        assert "after" not in world.run(*names, judged={"name": "bad"})
        assert not world.result.success
        assert world.checks() == {"is_good": False, "is_finite": True}
        assert world.lake.get("toy/judged").digest == good.digest
    assert world.run(*names, judged={"name": "good"}) == []
    assert world.result.success


def test_a_check_that_is_declared_is_made(world: World) -> None:
    """A check that its recipe forgot does not pass silently."""
    world.run("judged", judged={"name": "forgetful"})
    assert not world.result.success
    assert "judged declares the checks ['is_good', 'is_finite'], but made" in world.failure()
    assert world.lake.current("toy/judged") is None


def test_the_ledger_is_a_check_of_its_own(world: World) -> None:
    """The UI shows for every asset over rows that they add up, with the numbers."""
    world.file.write_text("1 22 x 333")
    world.run("source", "doubled", source={"path": str(world.file), "shortest": 2})
    made = {check.asset_key.path[-1]: check for check in world.result.get_asset_check_evaluations()}
    assert {name: (check.check_name, check.passed, check.blocking) for name, check in made.items()} == {
        "source": (LEDGER_CHECK, True, True), "doubled": (LEDGER_CHECK, True, True),
    }  # fmt: skip
    ledger = {"rows_in": 4, "rows_out": 2, "failed": 1, "dropped": {"short": 1}}
    assert made["source"].metadata["ledger"].value == ledger
    assert world.metadata("source")["ledger"] == ledger
    assert world.metadata("source")["dead_letters"] == 1


def test_metadata_of_an_asset(world: World) -> None:
    """Rows, columns, preview, digest, path, seconds and plots, when built and when reused."""
    for reused in (False, True):
        world.run("source")
        found = world.metadata("source")
        dataset = world.lake.get("toy/source")
        assert found["reused"] is reused
        assert found["dagster/row_count"] == 3
        columns = {column.name: column.type for column in found["dagster/column_schema"].columns}
        assert columns == {"id": "String", "number": "Int64"}
        assert found["preview"].splitlines() == ["| id | number |", "| --- | --- |", "| 1 | 1 |"]
        assert found["digest"] == dataset.digest
        assert Path(found["path"]) == dataset.shard_paths()[0].parent
        assert found["seconds"] == dataset.manifest.seconds
        assert found["sizes"].startswith("![sizes.png](data:image/png;base64,iVBO")
        assert found["mean"] == 1.5
        assert found["shape"] == {"rows": 1}


def test_a_missing_input_says_what_to_materialize(world: World) -> None:
    """The first thing a new user does wrong."""
    world.run("doubled")
    assert world.failure() == "toy/source was not built yet\n  → materialize toy/source first"


def test_a_damaged_version_is_built_again(world: World) -> None:
    """Reuse looks at the files: a version that lost one is not handed on, it is repaired."""
    world.run("source", "doubled")
    before = world.data_versions()
    world.lake.get("toy/source").shard_paths()[0].write_bytes(b"")
    assert world.run("doubled") == []
    assert world.run("source", "doubled") == ["source"]
    assert world.data_versions() == before
    assert world.numbers("source") == [1, 2, 3]


def retried(world: World, name: str) -> list[str]:
    """Run `failing` in a job that tries each step three times."""
    world.toys.CALLED.clear()
    defs = dg.Definitions(
        assets=[world.toys.failing],
        jobs=[dg.define_asset_job("job", op_retry_policy=dg.RetryPolicy(max_retries=2))],
        resources={"lake": LakeResource(root=str(world.root / "lake"), work=str(world.root / "work"))},
    )
    world.result = defs.resolve_job_def("job").execute_in_process(
        run_config={"ops": {"toy__failing": {"config": {"name": name}}}}, raise_on_error=False
    )
    return list(world.toys.CALLED)


def test_a_known_fault_is_told_once(world: World) -> None:
    """Bad input does not get better by trying again: message, remedy, no retries; a bug is left to Dagster."""
    assert retried(world, "input") == ["failing"]
    assert world.failure() == "rows.jsonl: line 3 is cut off\n  → download it again"
    assert len(retried(world, "bug")) == 3
    assert "ZeroDivisionError: a bug" in world.failure()


def test_a_full_disk_is_told_with_the_remedy(world: World) -> None:
    """The commonest fault of a long run says that nothing is lost, and that a run after freeing space works."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        assert retried(world, "disk") == ["failing"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert world.failure().startswith("toy/failing: the disk is full (")
    assert "→ free space and run again" in world.failure()
    assert list(world.lake.store.staging.iterdir()) == []
    assert retried(world, "disk") == ["failing"]
    assert world.result.success


def test_functions_that_cannot_be_followed_are_refused() -> None:
    """The fault shows when the code is loaded, not when a result is reused wrongly."""

    def inner(out: object) -> None: ...

    with pytest.raises(TypeError, match="not defined at the top of its module"):
        toys.recipe("toy/inner")(inner)


def test_a_misspelt_part_is_named(world: World) -> None:
    """The error of an arm that its plan does not make names those that it makes."""
    world.run("source", "plan")
    assert world.run("misspelt") == []
    assert world.failure().startswith("toy/plan has no part 'od', only ['even', 'odd']\n  → ")
