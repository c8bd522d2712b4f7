"""The graph of FastMCTS on a policy trained in seconds: from problems to claims; and the engine that it runs on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import torch

from assets.core.lake import DatasetWriter, Lake
from assets.core.policy_engine import PolicyEngineResource
from assets.core.recipe import recipe
from assets.core.resources import LakeResource
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.fastmcts import assets as search_assets
from assets.fastmcts.arms import ARMS, PAIR_ARMS, SFT_ARMS
from assets.fastmcts.assets import problems_of
from assets.fastmcts.checkpoints import CHECKPOINTS
from assets.fastmcts.codec import ChatCodec
from assets.fastmcts.config import (
    SEEDS,
    AblationConfig,
    EvaluateConfig,
    LearnConfig,
    PreferConfig,
    PreferencesConfig,
    ScreenConfig,
    SearchConfig,
)
from assets.fastmcts.evaluation import SCORED, fastmcts_claims, label_check
from assets.fastmcts.run import run_search
from assets.fastmcts.search import Settings, Simulation
from assets.fastmcts.training_rows import preference_pairs, sft_rows
from assets.fastmcts.tree import Rule
from tests.assets.fastmcts.small_policy import WORLD, problems, train_policy

SEARCHES = [
    search_assets.screened_problems, search_assets.simulations, search_assets.rejection_samples,
    search_assets.vanilla_search, search_assets.ablations, search_assets.trees,
]  # fmt: skip
GRAPH = [*SEARCHES, sft_rows, preference_pairs, *CHECKPOINTS, *SCORED, label_check]
# The folder of the policy that the fixture trained: a recipe takes no argument of a test.
TRAINED: list[Path] = []
SEARCH_OPS = ("simulations", "rejection", "vanilla")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Small models gain nothing from a second thread, and lose seconds to it on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("policy")
    train_policy(folder / "policy", folder / "state")
    TRAINED[:] = [folder / "policy"]
    yield folder / "policy"
    torch.set_num_threads(threads)


def searched(policy: Path, work: Path, slots: int) -> list[Simulation]:
    from models.inference.torch_engine import TorchEngine

    asked = problems_of(problems(24))
    settings = Settings(Rule(), 40, iterations=6)
    found = run_search(
        TorchEngine(policy, slots=slots),
        ChatCodec(policy, "\n"),
        asked,
        settings,
        work=work / str(slots),
        label="search",
    )
    return sorted(found.simulations, key=lambda each: (each.problem, each.iteration))


def test_slots_of_the_engine_change_no_tree(policy: Path, tmp_path: Path) -> None:
    """The same trees with 4 and with 64 slots, to the token."""
    few, many = (searched(policy, tmp_path, slots) for slots in (4, 64))
    assert few == many
    assert {each.outcome for each in many} >= {"right", "wrong"}
    assert any(each.start for each in many)


@recipe("corpora/problems", ledger=False)
def given_problems(out: DatasetWriter) -> None:
    out.write(problems())


@recipe("worlds/chain_arith", ledger=False)
def given_world(out: DatasetWriter) -> None:
    out.write(problems())
    out.describe(rule={"modulus": WORLD.modulus, "order": WORLD.order})


@recipe("oreal/sft_policy", partitions=SEEDS, kind="checkpoint", ledger=False)
def given_policy(out: DatasetWriter, partition: str) -> None:
    shutil.copytree(TRAINED[0], out.folder, dirs_exist_ok=True)
    out.write(pl.DataFrame({"id": [f"policy{partition}"], "parents": [[""]]}))


class World:
    """A home with the small problems and policy, and the graph over them."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(str(folder / "lake"), folder / "work")
        self.instance = dg.DagsterInstance.ephemeral()
        self.resources = {
            "lake": LakeResource(root=str(folder / "lake"), work=str(folder / "work")),
            "policy_engine": PolicyEngineResource(),
            "trainer": TrainerResource(),
            "tracking": Tracking(
                tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
                artifacts=str(folder / "artifacts"),
            ),
        }

    def build(self, assets: list[dg.AssetsDefinition], partition: str | None = None, **config: dg.Config) -> None:
        made = dg.materialize(
            assets,
            resources=self.resources,
            instance=self.instance,
            partition_key=partition,
            run_config=dg.RunConfig(ops=config),
        )
        assert all(check.passed for check in made.get_asset_check_evaluations())


@pytest.fixture(scope="module")
def world(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    found = World(tmp_path_factory.mktemp("home"))
    found.build([given_problems, given_world])
    search = SearchConfig(max_tokens=40)
    learn, prefer = LearnConfig(steps=4, sequence_length=96), PreferConfig(steps=3, sequence_length=96)
    found.build(
        [given_policy, *GRAPH],
        "0",
        fastmcts__problems=ScreenConfig(max_tokens=40, budget_solutions=8),
        **{f"fastmcts__{op}": search for op in SEARCH_OPS},
        fastmcts__ablations=AblationConfig(max_tokens=40, iterations=5),
        fastmcts__preferences=PreferencesConfig(min_visits=1),
        **{f"fastmcts__checkpoint__{arm}": learn for arm in SFT_ARMS},
        **{f"fastmcts__checkpoint__{arm}": prefer for arm in PAIR_ARMS},
        **{f"fastmcts__scores__{arm}": EvaluateConfig(max_tokens=40) for arm in ARMS},
    )
    found.build([fastmcts_claims])
    return found


@pytest.mark.slow
def test_samplers_spend_equal_budgets(world: World) -> None:
    """Screening drops what is always right; every sampler spends each problem's budget, up to one simulation."""
    screened = world.lake.get("fastmcts/problems", "0").read()
    assert screened.filter(pl.col("screen_pass") == 1).is_empty()
    for key in ("simulations", "rejection", "vanilla"):
        rows = world.lake.get(f"fastmcts/{key}", "0").read()
        spent = dict(rows.group_by("problem_id").agg(pl.col("tokens_generated").sum()).iter_rows())
        assert all(spent[row["parents"][0]] >= row["budget"] for row in screened.iter_rows(named=True))


@pytest.mark.slow
def test_rows_lead_from_answers_to_checkpoints(world: World) -> None:
    """Training rows are right answers, token for token as sampled; both arms cut to equal rows have as many."""
    rows = world.lake.get("fastmcts/sft_rows", "0").read()
    assert set(rows["arm"]) == set(SFT_ARMS)
    sizes = dict(rows.group_by("arm").len().iter_rows())
    assert sizes["rejection_equal_rows"] == sizes["fastmcts_equal_rows"] == min(sizes["rejection"], sizes["fastmcts"])
    sampled = world.lake.get("fastmcts/rejection", "0").read().filter(pl.col("verdict"))
    assert set(rows.filter(pl.col("arm") == "rejection")["response"]) <= set(sampled["response"])
    trained = world.lake.get("fastmcts/checkpoint/rejection", "0").read().row(0, named=True)
    assert set(trained["parents"]) - {"policy0"} <= set(rows["id"])


@pytest.mark.slow
def test_claims_are_published_with_what_was_held_equal(world: World) -> None:
    """Every claim of the specification has rows; one seed proves nothing, and says so."""
    claims = world.lake.get("claims/fastmcts").read()
    names = {name.split(" ")[0] for name in claims["claim"]}
    assert names == {"F1", "F1b", "F2", "F3", "F4", "F5"}
    assert claims["held_equal"].str.len_chars().min() > 0  # type: ignore[operator]
    assert set(claims["verdict"]) == {"inconclusive"}
    assert {"right_paths.png", "balance.png", "label_precision.png"} <= set(
        world.lake.get("claims/fastmcts").manifest.plots
    )


@pytest.mark.slow
def test_equal_runs_do_no_work(world: World) -> None:
    """A second run with the same ingredients reuses what was published."""
    before = world.lake.get("fastmcts/trees", "0").manifest.published
    world.build([given_policy, search_assets.trees], "0")
    assert world.lake.get("fastmcts/trees", "0").manifest.published == before
