"""Roles as recipes meet them: bound by a file, part of the fingerprint, counted, and free of secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.core.errors import AthanorError
from assets.core.generation import roles as module
from assets.core.generation.ledger import Caller
from assets.core.generation.roles import Roles
from assets.core.generation.store import GenerationStore
from assets.core.home import CHECKOUT
from assets.core.lake import Lake
from assets.core.recipe import recipe
from assets.core.resources import LakeResource
from tests.assets.core.generation import toys
from tests.servers.running import RunningServer

VLLM_PYTHON = CHECKOUT / ".venv-vllm/bin/python"
SECRET = "sk-hunter2"
KEY = dg.AssetKey(["toy", "answers"])


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer("--key", SECRET, "--refuse", "question 3") as running:
        yield running


class World:
    """A lake and a file of roles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = Lake(str(folder / "lake"), folder / "work")
        self.file = folder / "roles.toml"
        self.file.write_text("")

    def bind(self, server: RunningServer, *, top: str = "", **settings: object) -> None:
        fixed = {"engine": "openai", "base_url": server.base_url, "model": "tiny", "api_key_variable": "THE_KEY"}
        lines = [f"{name} = {value!r}" for name, value in (fixed | settings).items()]
        self.file.write_text("\n".join([top, "[roles.responder]", *lines, "price = {prompt = 1, completion = 2}"]))

    def run(self, *assets: dg.AssetsDefinition, **config: Any) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            list(assets) or [toys.answers],
            resources={
                "lake": LakeResource(root=str(self.folder / "lake"), work=str(self.folder / "work")),
                "roles": Roles(file=str(self.file), database=str(self.folder / "generation.db")),
            },
            run_config={"ops": {"toy__answers": {"config": config}}} if config else None,
            raise_on_error=False,
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("THE_KEY", SECRET)
    monkeypatch.delenv("ATHANOR_GENERATION_URL", raising=False)
    return World(tmp_path)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def with_template(folder: Path) -> Path:
    """The folder, able to answer conversations."""
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["chat_template"] = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def test_rules_ask_nobody(world: World) -> None:
    """The laptop's default: no model, no store, and the metadata say so."""
    told = metadata(world.run())
    assert told["roles"]["responder"]["size"] == "rules"
    assert told["generation"] == {"responder": {}}
    assert world.lake.get("toy/answers").read()["text"].to_list() == ["0", "1", "2", "3", "4"]
    assert not (world.folder / "generation.db").exists()


def test_rules_refuse_to_generate(world: World) -> None:
    """A recipe that forgot its rule is told how to bind a model."""
    with (
        Roles().open(Roles().bind(["writer"]), Caller("a")) as responders,
        pytest.raises(AthanorError, match=r"\[roles\.writer\]"),
    ):
        next(responders["writer"].generate([]))


def test_a_model_answers_and_is_counted(world: World, server: RunningServer) -> None:
    """Requests, tokens and dollars in manifest and metadata, by role, in this run and over all; failures explained."""
    world.bind(server)
    told = metadata(world.run())
    usage = told["generation"]["responder"]["usage"]
    assert (usage["requests"], usage["asked"], usage["reused"], usage["failed"]) == (5, 4, 0, 1)
    assert usage["cost"] == pytest.approx((usage["prompt_tokens"] + 2 * usage["completion_tokens"]) / 1e6)
    assert told["generation"]["responder"]["usage_of_all_runs"] == usage
    assert told["generation"]["responder"]["estimate"]["requests"] == 5
    assert (told["generation/asked"], told["generation/cost"]) == (4, usage["cost"])
    binding = told["roles"]["responder"]
    assert (binding["engine"], binding["model"], binding["size"]) == ("openai", "tiny", "tiny")
    assert binding["identity"]["base_url"] == server.base_url
    (dead,) = world.lake.get("toy/answers").dead_letters().rows()
    assert dead[:3] == ("row 3", "", "refused")


def test_a_reused_asset_starts_no_engine(world: World, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And needs no key; nor does one whose answers are all stored."""
    world.bind(server)
    first = metadata(world.run(questions=3))
    monkeypatch.delenv("THE_KEY")
    monkeypatch.setattr(module, "start", lambda *_: pytest.fail("an engine was started"))
    again = metadata(world.run(questions=3))
    assert (first["reused"], again["reused"]) == (False, True)
    fewer = metadata(world.run(questions=2))
    assert fewer["generation"]["responder"]["usage"]["reused"] == 2


def test_the_binding_counts_in_the_fingerprint_of_its_assets_only(world: World, server: RunningServer) -> None:
    """Another model is another dataset; an asset without the role is left alone, also one that was built before there
    were roles."""
    world.run(toys.plain)
    world.run()
    world.bind(server, model_revision="1")
    assert metadata(world.run(toys.plain))["reused"] is True
    assert "roles" not in world.lake.get("toy/plain").manifest.ingredients
    for revision, size, reused in (
        ("1", "tiny", False),
        ("1", "tiny", True),
        ("1", "large", False),
        ("2", "tiny", False),
    ):
        world.bind(server, model_revision=revision, size=size)
        assert metadata(world.run(questions=2))["reused"] is reused, (revision, size)


def test_a_spent_budget_fails_the_asset_with_the_remedy(world: World, server: RunningServer) -> None:
    """And a raised one goes on where it stopped."""
    world.bind(server, top="budget = 0.00004", concurrency=1)
    failed = world.run(questions=3)
    assert not failed.success
    (failure,) = [event.step_failure_data for event in failed.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "the budget of 4e-05 US dollars is spent" in str(failure.user_failure_data.description)
    store = GenerationStore(f"sqlite:///{world.folder / 'generation.db'}")
    asked = store.sums().asked
    assert 0 < asked < 3
    assert store.spent() <= 0.00004
    store.close()
    world.bind(server, top="budget = 1")
    usage = metadata(world.run(questions=3))["generation"]["responder"]
    assert usage["usage"]["asked"] == 3 - asked
    assert usage["usage_of_all_runs"]["asked"] == 3


def test_a_wrong_key_is_told_without_a_traceback(
    world: World, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the engine says and its remedy, and never the key."""
    monkeypatch.setenv("THE_KEY", "sk-other")
    world.bind(server)
    failed = world.run()
    (failure,) = [event.step_failure_data for event in failed.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert "API key" in str(failure.user_failure_data.description)
    assert "sk-other" not in repr(failed.all_events)


def test_the_key_is_nowhere(world: World, server: RunningServer) -> None:
    """Not in the resource's configuration, in any event or metadata, in the lake, nor in the store."""
    world.bind(server)
    result = world.run()
    resource = Roles(file=str(world.file), database=str(world.folder / "generation.db"))
    assert SECRET not in resource.model_dump_json() + repr(resource.settings()) + repr(resource.bind(["responder"]))
    assert SECRET not in repr(result.all_events) + repr(metadata(result))
    files = [path for path in world.folder.rglob("*") if path.is_file()]
    assert any(path.name == "generation.db" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_checkpoint_folder_answers(world: World, make_model: Callable[[int], Path]) -> None:
    """The laptop's own small models: other weights are another identity, a manifest beside them is not."""
    folder = with_template(make_model(0))
    world.file.write_text(f"[roles.responder]\nengine = 'torch'\nfolder = '{folder}'")
    told = metadata(world.run(questions=3))
    assert told["generation"]["responder"]["usage"]["asked"] == 3
    assert told["generation"]["responder"]["usage"]["cost"] == 0.0
    (folder / "manifest.json").write_text("{}")
    assert metadata(world.run(questions=3))["reused"] is True
    (folder / "model.safetensors").write_bytes((make_model(1) / "model.safetensors").read_bytes())
    assert metadata(world.run(questions=3))["generation"]["responder"]["usage"]["asked"] == 3
    world.file.write_text(f"[roles.responder]\nengine = 'torch'\nfolder = '{world.folder}'")
    assert "has no config.json" in repr(world.run(questions=3).all_events)


@pytest.mark.slow
@pytest.mark.skipif(not VLLM_PYTHON.exists(), reason="vLLM is not installed (`make vllm`)")
def test_a_server_of_our_own_answers(world: World, make_model: Callable[[int], Path]) -> None:
    """`vllm serve` starts when it is first asked, and ends with the asset."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = with_template(make_model(0))
    # vLLM's attention on a CPU takes heads of 32 and more.
    shape = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=258, max_position_embeddings=64, **shape)).save_pretrained(folder)
    settings = f"folder = '{folder}'\npython = '{VLLM_PYTHON}'\nmax_length = 64\ndtype = 'float32'"
    world.file.write_text(
        f"[roles.responder]\nengine = 'vllm'\n{settings}\nenvironment = {{VLLM_CPU_KVCACHE_SPACE = '1'}}"
    )
    told = metadata(world.run(questions=3))
    assert told["generation"]["responder"]["usage"]["asked"] == 3
    assert told["roles"]["responder"]["identity"]["engine"] == "vllm"
    assert (world.folder / f"vllm-{folder.name}.log").exists()
    assert metadata(world.run(questions=2))["generation"]["responder"]["usage"]["reused"] == 2


def test_an_unknown_role_is_told_when_it_is_declared() -> None:
    """A misspelt role would be played by rules for ever."""
    with pytest.raises(ValueError, match="no such role: writter"):
        recipe("toy/x", roles=("writter",))


def test_postgres_by_its_variable(
    world: World, server: RunningServer, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same recipe over the other database, named by the environment because its address may hold a password."""
    monkeypatch.setenv("ATHANOR_GENERATION_URL", postgres)
    world.bind(server, model_revision="postgres")
    assert metadata(world.run(questions=2))["generation"]["responder"]["usage"]["asked"] == 2
    assert not (world.folder / "generation.db").exists()
    monkeypatch.setenv("ATHANOR_GENERATION_URL", "what is this")
    world.bind(server, model_revision="nowhere")
    assert "is no database URL that can be opened" in repr(world.run(questions=2).all_events)
