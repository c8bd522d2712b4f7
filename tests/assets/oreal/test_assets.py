"""The whole graph of OREAL on a tiny world: from problems to a promoted policy, reused, and rebuilt by a change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.core.lake import Dataset, DatasetWriter, Lake
from assets.core.policy_engine import PolicyEngineResource
from assets.core.registry import champion_folder
from assets.core.resources import LakeResource
from assets.core.rollouts import prompt_ids
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.core.verifier.outcome import Answer, Grade
from assets.core.verifier.verifier import Verifier
from assets.corpora.problem_assets import problems, questions
from assets.oreal.arms import ARMS
from assets.oreal.assets import initial_rollouts, prompts, sft_policy, verifier_faults
from assets.oreal.champions import START, TRAINED, champion, sft_champion
from assets.oreal.config import (
    ChampionConfig,
    EvaluateConfig,
    PolicyConfig,
    PromptsConfig,
    RolloutsConfig,
    SftConfig,
    TokenRewardConfig,
)
from assets.oreal.evaluation import SCORED
from assets.oreal.policies import ITERATIONS, POLICIES, iterations
from assets.oreal.reward_model import token_reward_model
from assets.worlds.chain_arith.assets import chain_arith_tokenizer
from tests.assets.oreal import tiny

pytestmark = pytest.mark.slow

WORLD = "worlds/chain_arith"
DATA = [chain_arith_tokenizer, questions, problems]
ITS_POLICY = next(asset for asset in POLICIES if asset.key.path[-1] == "oreal")
SCORES = [asset for asset in SCORED if asset.key.path[-1] in ("sft", "oreal")]
LEARN = [sft_policy, initial_rollouts, prompts, token_reward_model, ITS_POLICY, *SCORES]
GRAPH = [*DATA, *LEARN, sft_champion, champion]
N_ITERATIONS, N_SAMPLES = 4, 6


class World:
    """A home with the tiny problems in the place of ChainArith's, and the graph of the job `oreal` over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = dg.DagsterInstance.ephemeral()
        self.lake = Lake(str(folder / "lake"), folder / "work")
        self.tracking = Tracking(
            tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", artifacts=str(folder / "artifacts")
        )  # fmt: skip

        def fill(out: DatasetWriter) -> None:
            out.write(tiny.problems())

        self.lake.build(
            key=WORLD, partition="", kind="dataset", fingerprint="a" * 64, ingredients={}, fill=fill, keeps_ledger=False
        )

    def run(
        self, assets: list[dg.AssetsDefinition], partition: str | None = None, **changed: dict[str, Any]
    ) -> dg.ExecuteInProcessResult:
        names = {"__".join(asset.key.path) for asset in assets}
        given = {name: value | changed.get(name, {}) for name, value in config().items() if name in names}
        return dg.materialize(
            [*GRAPH, iterations], selection=[asset.key for asset in assets], partition_key=partition,
            instance=self.instance, raise_on_error=False,
            resources={
                "lake": LakeResource(root=str(self.folder / "lake"), work=str(self.folder / "work")),
                "tracking": self.tracking, "trainer": TrainerResource(), "policy_engine": PolicyEngineResource(),
            },
            run_config={"ops": {name: {"config": value} for name, value in given.items()}},
        )  # fmt: skip

    def get(self, stage: str, partition: str = "0") -> Dataset:
        return self.lake.get(f"oreal/{stage}", partition)

    def iterations(self) -> list[pl.DataFrame]:
        return [self.lake.get(ITERATIONS, f"oreal-0-{number:03d}").read() for number in range(N_ITERATIONS)]


def config() -> dict[str, dict[str, Any]]:
    tokens = tiny.SAMPLING.max_new_tokens
    size = {name: value for name, value in tiny.SIZE.items() if name != "max_length"}
    sections = {
        "sft_policy": SftConfig(
            **size, max_length=64, steps=80, batch_rows=8, sequence_length=64, peak_lr=1e-2, warmup_steps=5,
            select_every=80, accuracy_low=0.0, accuracy_high=1.0, min_informative=0.1, n_problems=10, n_samples=8,
            max_new_tokens=tokens,
        ),
        "initial_rollouts": RolloutsConfig(n_samples=8, n_problems=40, max_new_tokens=tokens),
        "prompts": PromptsConfig(min_informative=0.1),
        "token_reward_model": TokenRewardConfig(steps=60, batch_trajectories=32, peak_lr=3e-2, warmup_steps=2),
        "policy__oreal": PolicyConfig(
            iterations=N_ITERATIONS, prompts_per_iteration=24, n_samples=N_SAMPLES, updates=4, max_new_tokens=tokens,
            peak_lr=2e-3, warmup_steps=2, evaluate_every=2, n_valid=10,
        ),
        **{f"scores__{arm}": EvaluateConfig(n_problems=40, n_samples=4, max_new_tokens=tokens)
           for arm in ("sft", "oreal")},
        "sft_champion": ChampionConfig(n_problems=40, max_new_tokens=tokens),
        "champion": ChampionConfig(n_problems=40, max_new_tokens=tokens),
    }  # fmt: skip
    return {f"oreal__{name}": section.model_dump(mode="json") for name, section in sections.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("home"))
    for assets, partition in ((DATA, None), (LEARN, "0"), ([sft_champion, champion], None)):
        result = made.run(assets, partition)
        failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
        assert result.success, (failed, [event.message for event in result.all_events if event.is_failure])
    return made


def reused(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Of each asset; its iterations are published on the way and are no steps."""
    found = [event.materialization for event in result.get_asset_materialization_events()]
    return {
        each.asset_key.to_user_string(): bool(each.metadata["reused"].value)
        for each in found
        if each.asset_key.to_user_string() != ITERATIONS
    }


def test_learning_from_outcomes_helps(world: World) -> None:
    """Every check is there and passed, and the policy solves what its start did not."""
    for asset in GRAPH:
        partition = "0" if asset in LEARN else ""
        checks = {
            check.name: check.passed for check in world.lake.get("/".join(asset.key.path), partition).manifest.checks
        }
        assert all(checks.values())
        assert checks.keys() == {spec.name for spec in asset.check_specs} - {"ledger_adds_up"}
    accuracy = {arm: world.get(f"scores/{arm}").read()["score"].mean() for arm in ("sft", "oreal")}
    assert accuracy["oreal"] > 0.9 > 0.5 > accuracy["sft"]
    assert world.lake.get("oreal/champion").read()["moved"].to_list() == [True]
    policies = champion_folder(world.tracking, START), champion_folder(world.tracking, TRAINED)
    assert len({(folder / "model.safetensors").read_bytes() for folder in policies}) == 2


def test_a_second_run_does_no_work(world: World) -> None:
    """All is found as it is, and no iteration is told again."""
    told = len(world.instance.fetch_materializations(dg.AssetKey(ITERATIONS.split("/")), limit=100).records)
    assert told == N_ITERATIONS
    states = reused(world.run(DATA)) | reused(world.run(LEARN, "0")) | reused(world.run([sft_champion, champion]))
    assert len(states) == len(GRAPH)
    assert all(states.values()), [name for name, found in states.items() if not found]
    assert len(world.instance.fetch_materializations(dg.AssetKey(ITERATIONS.split("/")), limit=100).records) == told


def test_iterations_lead_back_to_problems(world: World) -> None:
    """Each iteration is a partition with its numbers; rows have a problem of the queries as parent, and ids of their
    own although problems come again."""
    assert sorted(world.instance.get_dynamic_partitions(ITERATIONS)) == [
        f"oreal-0-{n:03d}" for n in range(N_ITERATIONS)
    ]
    asked = set(world.get("prompts").read()["id"])
    rows = pl.concat(world.iterations())
    assert rows["id"].n_unique() == rows.height == N_ITERATIONS * 24 * N_SAMPLES
    assert rows["problem_id"].n_unique() < N_ITERATIONS * 24
    assert rows["parents"].to_list() == [[name] for name in rows["problem_id"]]
    assert set(rows["problem_id"]) <= asked <= set(tiny.problems().filter(pl.col("split") == "rl")["id"])
    parents = world.get("policy/oreal").read()["parents"][0].to_list()
    assert parents == [world.get("sft_policy").read()["id"].item(), *sorted(set(rows["problem_id"]))]
    metadata = world.lake.get(ITERATIONS, "oreal-0-001").manifest.metadata
    assert metadata["reward"] == pytest.approx((world.iterations()[1]["outcome"] == "right").mean())
    assert metadata["accuracy"] is not None


def test_tokens_are_the_text(world: World) -> None:
    """Protects from training on other tokens than were sampled: ids decode to the text, and the stop token is the last
    where it ended; there is a logprob for each."""
    from models.training.chat import load_chat_tokenizer, stop_token_id

    tokenizer = load_chat_tokenizer(world.get("sft_policy").folder)
    for row in pl.concat(world.iterations()).iter_rows(named=True):
        assert tokenizer.decode(row["token_ids"], skip_special_tokens=True) == row["text"]
        assert (row["token_ids"][-1] == stop_token_id(tokenizer)) == row["ended"]
        assert len(row["logprobs"]) == len(row["token_ids"]) == row["tokens"] == len(row["token_weights"])


def test_logprobs_are_those_of_training(world: World) -> None:
    """Protects importance ratios: the first iteration's sampler is the start, whose forward pass gives the same."""
    from models.architecture.huggingface import load_folder
    from models.inference.drift import logprob_drift
    from models.training.chat import load_chat_tokenizer

    folder = world.get("sft_policy").folder
    rows = tiny.problems()
    ids = dict(zip(rows["id"], prompt_ids(load_chat_tokenizer(folder), rows["question"].to_list()), strict=True))
    first = world.iterations()[0].select("problem_id", "token_ids", "logprobs").iter_rows()
    drift = logprob_drift(
        load_folder(folder).float(), [(ids[name], tokens, logprobs) for name, tokens, logprobs in first]
    )
    assert drift.largest < 1e-4


def test_rewards_are_those_of_the_text(world: World) -> None:
    """Protects from verdicts that slipped to another row: graded again from text alone, the world's rule agrees."""
    for rows in world.iterations():
        right = [
            re.search(rf"^####\s*{tiny.TRUTH}\s*\Z", text, re.MULTILINE) is not None and ended
            for text, ended in rows.select("text", "ended").iter_rows()
        ]
        assert [each == "right" for each in rows["outcome"]] == right
        assert rows["reward"].to_list() == [1.0 if each else -1.0 for each in right]


def test_what_a_value_changes_is_built_again(world: World) -> None:
    """How often hard questions are asked changes queries and policy, not the start; back again, all is found."""
    changed = {"oreal__prompts": {"times": [1, 1, 1, 1]}}
    states = reused(world.run(LEARN[:5], "0", **changed))
    assert {name.removeprefix("oreal/") for name, found in states.items() if not found} == {"prompts", "policy/oreal"}
    assert all(reused(world.run(LEARN, "0")).values())


def test_champion_stays_without_an_improvement(world: World) -> None:
    """A policy that learned nothing to speak of fails the blocking check, and the registry keeps what it has."""
    before = (champion_folder(world.tracking, TRAINED) / "model.safetensors").read_bytes()
    frozen = {"oreal__policy__oreal": {"iterations": 1, "peak_lr": 1e-9}}
    world.run([ITS_POLICY, *SCORES], "0", **frozen)
    result = world.run([sft_champion, champion])
    failed = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]
    assert failed == ["better_than_start"]
    assert not result.success
    assert (champion_folder(world.tracking, TRAINED) / "model.safetensors").read_bytes() == before
    assert world.lake.get("oreal/champion").read()["moved"].to_list() == [True]


class YesMan(Verifier):
    """Accepts everything, and so rewards a policy for nothing."""

    def grade(self, answers: Any, kind: Any) -> list[Grade]:
        return [Grade("right", answer.gold) for answer in answers]


class NaySayer(Verifier):
    def grade(self, answers: Any, kind: Any) -> list[Grade]:
        return [Grade("wrong") for _ in answers]


def test_a_verifier_is_tried_before_it_is_believed() -> None:
    """Protects from a verifier that says yes, or no, to everything; the true one has no faults."""
    asked = tiny.problems().head(3)
    with Verifier() as verifier, YesMan() as yes, NaySayer() as no:
        assert verifier_faults(verifier, asked) == []
        assert len(verifier_faults(yes, asked)) == 9
        assert len(verifier_faults(no, asked)) == 3
        assert [grade.outcome for grade in yes.grade([Answer("", "1", "", True)], "exact")] == ["right"]


def test_every_arm_has_a_policy_and_scores() -> None:
    assert {asset.key.path[-1] for asset in POLICIES} == set(ARMS)
    assert {asset.key.path[-1] for asset in SCORED} >= {"sft", *ARMS}
