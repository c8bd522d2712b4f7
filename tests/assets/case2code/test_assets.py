"""The whole graph of Case2Code on a few functions: from modules to claims, reused, and rebuilt by another writer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.case2code import assets as data
from assets.case2code.arms import ARMS, TRAINED_ARMS
from assets.case2code.checkpoints import CHECKPOINTS, base
from assets.case2code.config import (
    BaseConfig,
    CodeConfig,
    EvaluateConfig,
    GrammarConfig,
    LearnConfig,
    ModulesConfig,
    TokenizerConfig,
    WriterConfig,
)
from assets.case2code.grading import GRADED, case2code_claims
from assets.case2code.learning import code, programs, samples, tokenizer
from assets.case2code.pretrain import is_heldout
from assets.core.errors import AthanorError
from assets.core.generation import roles as roles_module
from assets.core.generation.roles import Roles
from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.resources import LakeResource
from assets.core.sandbox import Sandbox
from assets.core.sandbox.resource import SandboxResource
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from models.inference.engine import Completion, Message, Request, Sample, Usage

pytestmark = pytest.mark.slow

MODULE = '''
import os

LIMIT = 5

def times(x):
    """Five times the number."""
    return x * 5

def joined(words, sep=" "):
    """The words as one text."""
    return sep.join(word.strip() for word in words)

def limited(n):
    return min(n, LIMIT)

def says_nothing(x):
    print(x)

def here(x):
    return os.path.join(UNKNOWN, x)
'''
HELDOUT = CodeConfig().heldout_share
# One package that is held out and some that are trained on.
PACKAGES = [next(f"p{n}" for n in range(99) if is_heldout(f"p{n}", HELDOUT))]
PACKAGES += [f"p{n}" for n in range(9) if not is_heldout(f"p{n}", HELDOUT)][:2]
DATA = [data.modules, data.functions, data.inputs, data.cases, data.prompts]
GRAPH = [*DATA, programs, code, tokenizer, samples, base, *CHECKPOINTS, *GRADED]


class Scripted:
    """A model that writes three numbers for the only argument of a function, and nothing for other functions."""

    def identity(self) -> dict[str, object]:
        return {"engine": "scripted"}

    def generate(self, requests: Iterable[Request]) -> Iterator[tuple[int, Completion]]:
        for place, request in enumerate(requests):
            message = request.prompt[0]
            assert isinstance(message, Message)
            found = re.search(r"def \w+\((\w+)\)", message.content.rpartition("Function:")[2])
            calls = ", ".join(f"dict({found[1]}={n})" for n in range(3)) if found else ""
            answer = Sample(f"```python\nexamples = [{calls}]\n```", "stop")
            yield place, Completion((answer,), Usage(10, 20), 0.1)

    def close(self) -> None: ...


class World:
    """A home with a folder of modules and a small library, and the graph over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = Lake(str(folder / "lake"), folder / "work")
        self.roles = folder / "roles.toml"
        self.roles.write_text("")
        (folder / "modules").mkdir()
        for number, package in enumerate(PACKAGES):
            (folder / "modules" / f"{package}.py").write_text(MODULE.replace("5", str(number + 5)))
        self.lake.build(
            key="corpora/python_library", partition="", kind="dataset", fingerprint="a" * 64, ingredients={},
            fill=self._library, keeps_ledger=False,
        )  # fmt: skip

    def _library(self, out: DatasetWriter) -> None:
        names = [(package, number) for package in PACKAGES for number in range(30)]
        texts = [f"def {package}_{number}(value):\n    return value + {number}\n" for package, number in names]
        out.write(
            pl.DataFrame(
                {
                    "id": [f"{package}-{number}" for package, number in names],
                    "kind": ["prose" if number == 0 else "code" for _, number in names],
                    "package": [package for package, _ in names],
                    "module": [package for package, _ in names],
                    "name": [str(number) for _, number in names],
                    "text": texts,
                    "n_bytes": [len(text) for text in texts],
                }
            )
        )

    def run(self, assets: list[dg.AssetsDefinition], partition: str | None = None) -> dg.ExecuteInProcessResult:
        keys = [asset.key for asset in assets]
        return dg.materialize(
            [*GRAPH, case2code_claims],
            selection=keys,
            partition_key=partition,
            resources={
                "lake": LakeResource(root=str(self.folder / "lake"), work=str(self.folder / "work")),
                "roles": Roles(file=str(self.roles), database=str(self.folder / "generation.db")),
                "sandbox": SandboxResource(workers=2),
                "tracking": Tracking(
                    tracking_uri=f"sqlite:///{self.folder / 'mlflow.db'}", artifacts=str(self.folder / "artifacts")
                ),
                "trainer": TrainerResource(),
            },
            run_config={"ops": {name: value for name, value in self.config().items() if self._is_among(name, keys)}},
            raise_on_error=False,
        )

    def config(self) -> dict[str, Any]:
        size = {"dim": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "ffn_dim": 32}
        sections = {
            "case2code__modules": ModulesConfig(folder=str(self.folder / "modules")),
            "case2code__inputs": WriterConfig(n_tuples=40, n_examples=3),
            "case2code__programs": GrammarConfig(n_draws=400, test_share=0.2),
            "case2code__tokenizer": TokenizerConfig(vocab_size=512, n_prompts=100),
            "case2code__base": BaseConfig(**size, tokens=2048, sequence_length=128, batch_rows=4),
            **{f"case2code__checkpoint__{arm}": LearnConfig(tokens=4096, batch_rows=4) for arm in TRAINED_ARMS},
            **{f"case2code__grades__{arm}": EvaluateConfig(n_problems=6, max_new_tokens=8) for arm in ARMS},
        }
        return {name: {"config": section.model_dump(mode="json")} for name, section in sections.items()}

    @staticmethod
    def _is_among(name: str, keys: list[dg.AssetKey]) -> bool:
        return any("__".join(key.path) == name for key in keys)

    def get(self, stage: str, partition: str = "") -> Dataset:
        return self.lake.get(f"case2code/{stage}", partition)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    try:
        Sandbox(workers=1).close()
    except AthanorError as error:
        pytest.skip(str(error))
    made = World(tmp_path_factory.mktemp("home"))
    result = made.run(GRAPH, "0")
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert made.run([case2code_claims]).success
    return made


def reused(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    materialized = [event.materialization for event in result.get_asset_materialization_events()]
    return {each.asset_key.to_user_string(): bool(each.metadata["reused"].value) for each in materialized}


def test_every_row_is_accounted_for(world: World) -> None:
    """Dropped functions have a reason, and of five in each module two are no programs."""
    functions = world.get("functions").manifest.ledger
    assert functions is not None
    assert functions["dropped"] == {"duplicate": 2, "no_return": 3, "unresolved": 3}
    assert functions["rows_out"] == 7
    for dataset in world.lake.datasets():
        ledger = dataset.manifest.ledger
        if ledger:
            assert ledger["rows_in"] == ledger["rows_out"] + ledger["failed"] + sum(ledger["dropped"].values())


def test_every_claim_is_measured(world: World) -> None:
    """One seed decides nothing; what was held equal is checked, and both pictures are there."""
    claims = world.lake.get("claims/case2code")
    rows = claims.read()
    assert set(rows["verdict"]) == {"inconclusive"}
    assert {claim[0] for claim in rows["claim"]} == {"1", "2", "3", "4"}
    assert [(check.name, check.passed) for check in claims.manifest.checks] == [("equal_tokens", True)]
    assert claims.file("accuracy.png").stat().st_size > 1000
    assert claims.file("losses.png").stat().st_size > 1000


def test_all_arms_answer_the_same_problems(world: World) -> None:
    """Under every evaluation; ids differ between arms, forms and problems."""
    grades = pl.concat([world.get(f"grades/{arm}", "0").read() for arm in ARMS])
    assert grades["id"].n_unique() == grades.height
    items = grades.group_by("arm", "evaluation").agg(pl.col("item_id").sort().unique())
    assert set(items["evaluation"]) == {"evaluation", "unseen", "real", "completion", "text"}
    per_evaluation = items.group_by("evaluation").agg(pl.col("item_id").n_unique(), pl.len())
    assert per_evaluation["item_id"].to_list() == [1] * 5
    assert per_evaluation["len"].to_list() == [4] * 5


def test_a_score_leads_back_to_programs_and_modules(world: World) -> None:
    """By parents: a grade to its problem and checkpoint, these to samples, programs, functions and modules."""
    grades = world.get("grades/diverse", "0").read()
    parents = {
        row_id: set(names)
        for stage, partition in (("checkpoint/diverse", "0"), ("samples", "0"), ("cases", ""), ("functions", ""))
        for row_id, names in world.get(stage, partition).read("id", "parents").iter_rows()
    }
    known = {stage: set(world.get(stage).read("id")["id"]) for stage in ("programs", "modules")}

    def origins(names: Iterable[str]) -> set[str]:
        return {origin for name in names for origin in (origins(parents[name]) if name in parents else {name})}

    asked = grades.filter(pl.col("evaluation") == "evaluation")["parents"].to_list()
    real = grades.filter(pl.col("evaluation") == "real")["parents"].to_list()
    assert origins(asked[0]) & known["programs"]
    assert origins(real[0]) & known["modules"]
    trained = world.get("checkpoint/diverse", "0").read("parents")["parents"][0].to_list()
    split = dict(world.get("programs").read("id", "split").iter_rows())
    assert {split[name] for name in origins(trained) if name in split} == {"train"}


def test_nothing_of_a_heldout_package_is_trained_on(world: World) -> None:
    """Neither its documents by the starting checkpoint nor, in `real`, any other package asked."""
    documents = {row["id"]: row["package"] for row in world.get("code").read().iter_rows(named=True)}
    read = world.get("base", "0").read("parents")["parents"][0].to_list()
    assert PACKAGES[0] not in {documents[name] for name in read}
    grades = world.get("grades/single", "0").read()
    assert set(grades.filter(pl.col("evaluation") == "real")["group_id"]) == {PACKAGES[0]}


def test_a_second_run_builds_nothing(world: World) -> None:
    """Every asset of the graph is found as it is."""
    states = reused(world.run(GRAPH, "0"))
    assert len(states) == len(GRAPH)
    assert all(states.values()), [name for name, found in states.items() if not found]


def test_another_writer_rebuilds_what_it_wrote(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound to a model, the inputs are asked for, and what follows is built again; the record says who wrote. Functions
    that it wrote nothing for are in the dead letters. Without it everything is found again."""
    monkeypatch.delenv("ATHANOR_GENERATION_URL", raising=False)
    monkeypatch.setattr(roles_module, "start", lambda *_: Scripted())
    before = world.get("inputs")
    role = 'engine = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "scripted"\n'
    world.roles.write_text(f"[roles.writer]\n{role}price = {{prompt = 0, completion = 0}}\n")
    states = reused(world.run(DATA))
    world.roles.write_text("")
    assert states == {
        "case2code/modules": True,
        "case2code/functions": True,
        "case2code/inputs": False,
        "case2code/cases": False,
        "case2code/prompts": False,
    }
    after = world.get("inputs")
    assert (before.manifest.metadata["writer"], after.manifest.metadata["writer"]) == ("fuzzer", "scripted")
    assert (before.manifest.metadata["size"], after.manifest.metadata["size"]) == ("rules", "tiny")
    assert after.dead_letters()["reason"].to_list() == ["no_examples"]
    assert after.read("tries")["tries"].to_list() == [1] * 6
    assert all(reused(world.run(DATA)).values())


def test_without_bubblewrap_nothing_runs(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failure says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    failing: Callable[..., dg.ExecuteInProcessResult] = world.run
    monkeypatch.setattr(World, "config", lambda self: {"case2code__cases": {"config": {"seconds": 1.0}}})
    result = failing([data.cases])
    assert not result.success
    (failed,) = result.filter_events(lambda event: event.is_step_failure)
    described = failed.step_failure_data.user_failure_data
    assert described is not None
    assert "apt-get install bubblewrap" in (described.description or "")
