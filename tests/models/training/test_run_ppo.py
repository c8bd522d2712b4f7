"""A described PPO run: from folders to folders, refused, ended and killed."""

import copy
import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from assets.internlm2.tokenizer import save_tokenizer, train_tokenizer
from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import RewardModel, critic_from_reward
from models.architecture.huggingface import load_folder, save_folder
from models.architecture.reward_folder import load_reward_folder, save_reward_folder
from models.training.chat import generation_prompt, load_chat_tokenizer, reward_closing, reward_pair
from models.training.checkpoint import ResumeRefused, weights_digest
from models.training.data_folder import TokenStream, load_prompts, load_stream, save_prompts, save_stream
from models.training.experience import RolloutPlan
from models.training.launch import torchrun_command
from models.training.loop import train
from models.training.metrics_file import read_metrics
from models.training.plan import StepRecord, TrainingPlan
from models.training.ppo_objective import PPOConfig, PPOModels, ppo_objective
from models.training.prompts import Prompt
from models.training.rewards import Answer, ConditionalReward, reward_tokens
from models.training.rollouts import RolloutSource
from models.training.run import check, read_report, run
from models.training.run_description import RunRefused, read_description
from models.training.run_ppo import _frame, ppo_parts
from tests.models.training.test_run import alone, start, wait_for

REWARD, STOP = 95, 94
PROMPTS = [Prompt(f"p{i}", tuple(range(20 + i, 22 + i + i % 5)), "ab"[i % 2]) for i in range(24)]
LONG = Prompt("long", (1,) * 52, "a")
PLAN: dict[str, Any] = {
    "steps": 12, "batch_rows": 4, "sequence_length": 32, "peak_lr": 1e-3, "warmup_steps": 0, "checkpoint_every": 4,
    "threads": 1,
}  # fmt: skip
ROLLOUTS: dict[str, Any] = {
    "prompts_per_iteration": 8, "max_new_tokens": 10, "stop_ids": [STOP], "minibatches": 2, "epochs": 2,
    "critic_warmup_iterations": 1, "seed": 3,
}  # fmt: skip
PPO: dict[str, Any] = {
    "name": "ppo", "reward": "reward", "system_prompts": {"a": [90, 91], "b": []}, "closing": [93, REWARD],
    "rollouts": ROLLOUTS, "pretrain": {"data": "stream", "rows": 2}, "loss": {"pretrain_coefficient": 0.25},
}  # fmt: skip


@pytest.fixture
def folder(
    tmp_path: Path, model: Decoder, config: DecoderConfig, corpus: tuple[NDArray[np.uint32], NDArray[np.int64]]
) -> Path:
    """A start model, a reward model, prompts of two domains of which one is too long, and a stream."""
    save_folder(model, tmp_path / "model", None)
    scorer = RewardModel(Decoder(config, seed=6), head_spread=1.0, seed=6)
    save_reward_folder(scorer, tmp_path / "reward", None, reward_token_id=REWARD, pad_id=0)
    save_prompts(tmp_path / "prompts", [*PROMPTS, LONG])
    order = np.concatenate([np.random.default_rng(seed).permutation(300) for seed in range(20)])
    save_stream(tmp_path / "stream", TokenStream(*corpus, order))
    return tmp_path


def describe(folder: Path, name: str = "run", **changes: Any) -> Path:
    """A description in `folder` with its own output and state; `plan`, `rollouts` and `ppo` replace some fields."""
    rollouts = ROLLOUTS | changes.pop("rollouts", {})
    content = {
        "model": "model", "data": "prompts", "plan": PLAN | changes.pop("plan", {}), "output": f"{name}/output",
        "state": f"{name}/state", "objective": PPO | {"rollouts": rollouts} | changes.pop("ppo", {}),
    }  # fmt: skip
    (folder / name).mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content | changes))
    return path


def outputs(folder: Path) -> tuple[str, str]:
    """Digests of the actor and the critic."""
    return weights_digest(load_folder(folder)), weights_digest(load_reward_folder(folder / "critic"))


def test_a_described_run_is_the_loop(folder: Path) -> None:
    """Actor and critic are bit-equal with those of `train` over the same parts; report and metrics tell the rest."""
    described = read_description(describe(folder))
    report = run(described)
    actor, scorer = load_folder(folder / "model"), load_reward_folder(folder / "reward")
    models = PPOModels(actor, critic_from_reward(scorer))
    reward = ConditionalReward(scorer, {"a": (90, 91), "b": ()}, closing=(93, REWARD))
    plan = RolloutPlan(**ROLLOUTS | {"stop_ids": (STOP,)})
    stream = load_stream(folder / "stream").packed(32, 2)
    source = RolloutSource(PROMPTS, plan, reward, "reward", copy.deepcopy(actor), stream)
    objective = ppo_objective(PPOConfig(pretrain_coefficient=0.25), source.identity())
    train(models, source, TrainingPlan(**PLAN), folder / "else", "data", None, objective)
    trained = load_reward_folder(described.output / "critic")
    assert weights_digest(load_folder(described.output)) == weights_digest(models.actor)
    assert torch.equal(trained.head.weight, models.critic.head.weight)
    assert torch.equal(trained.decoder.tok_embeddings.weight, models.critic.decoder.tok_embeddings.weight)
    written = json.loads((described.output / "report.json").read_text())
    last = read_metrics(described.state / "metrics.jsonl")[-1]
    assert read_report(described.output) == report
    assert written["last_means"] == last["means"]
    assert {"score", "kl_k1", "kl_k3", "pretrain"} <= last["means"].keys()
    assert written["dropped_prompts"] == {"long": "52 tokens and 10 new ones exceed 60"}


def test_a_dry_run_says_what_would_be_done(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both models count, tokens are bounded, prompts that are not asked are named, and nothing is written."""
    described = read_description(describe(folder))
    facts = check(described)
    models, _, _ = ppo_parts(described)
    assert facts.parameters == sum(parameter.numel() for parameter in models.parameters())
    assert facts.tokens == 12 * (4 * (6 + 10) + 2 * 32)
    assert facts.resumes_from is None
    assert not described.state.exists()
    assert "prompt long is never asked" in caplog.text
    assert run(described).tokens_seen <= facts.tokens
    assert check(described).resumes_from == 12


def test_the_critic_starts_from_either(folder: Path) -> None:
    """Claim I7 compares the reward model's decoder with the starting model's."""
    starts = {}
    for name in ("reward", "model"):
        models, _, objective = ppo_parts(read_description(describe(folder, name + "-critic", ppo={"critic": name})))
        starts[name] = models.critic.decoder.tok_embeddings.weight
        assert models.critic is not models.actor
        assert objective.identity["critic_scale"] == 5.0
    assert torch.equal(starts["reward"], load_reward_folder(folder / "reward").decoder.tok_embeddings.weight)
    assert torch.equal(starts["model"], load_folder(folder / "model").tok_embeddings.weight)
    assert starts["model"] is not models.actor.tok_embeddings.weight


def test_bfloat16_has_frozen_models_of_its_dtype(folder: Path) -> None:
    """The reference rounds as the copy that computes does, so that the run begins without a divergence."""
    plan = {"steps": 4, "dtype": "bfloat16", "accumulation": 2}
    described = read_description(describe(folder, plan=plan, rollouts={"critic_warmup_iterations": 0}))
    records: list[StepRecord] = []
    run(described, records.append)
    assert records[0].means["kl_k1"] == 0
    assert load_folder(described.output).output.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ppo": {"rewards": "x"}}, "objective.ppo.rewards: Extra inputs are not permitted"),
        ({"rollouts": {"top_q": 1}}, "objective.ppo.rollouts: a rollout plan has no 'top_q', but prompts_per_iter"),
        ({"rollouts": {"minibatches": 3}}, "must be a multiple of minibatches 3"),
        ({"ppo": {"loss": {"clip": 1}}}, "objective.ppo.loss: a PPO loss has no 'clip', but clip_range, "),
        ({"ppo": {"pretrain": {"data": "stream"}}}, "objective.ppo.pretrain.rows: Field required"),
        ({"backend": {"name": "deepspeed"}}, "deepspeed does not train ppo: set backend to torch"),
    ],
)
def test_a_wrong_field_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    """Before anything is loaded, in one line."""
    with pytest.raises(RunRefused, match="correct the file") as refused:
        read_description(describe(folder, **changes))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ppo": {"reward": "nowhere"}}, "nowhere is no folder of a reward model: objective.reward must be"),
        ({"ppo": {"reward": "model"}}, "model is no folder of a reward model"),
        ({"model": "reward"}, "is a reward model, ppo trains a decoder"),
        ({"data": "stream"}, "does not describe data of the kind 'prompts'"),
        ({"epochs": 2}, "epochs is for examples"),
        ({"plan": {"batch_rows": 8}}, "batch_rows 8 must be the answers of an update"),
        ({"plan": {"steps": 10}}, "10 steps are not whole iterations of 4"),
        ({"plan": {"accumulation": 4}}, r"objective\.pretrain\.rows 2 must be a multiple of processes x accumulation"),
        ({"rollouts": {"max_new_tokens": 60}}, "none of the 25 prompts fits"),
        ({"rollouts": {"stop_ids": [97]}}, r"rollouts\.stop_ids has token ids outside 0 to 96"),
        ({"ppo": {"closing": [93]}}, "scores at token 95, but objective.closing is"),
        ({"ppo": {"system_prompts": {"a": []}}}, "domain 'b', which objective.system_prompts lacks"),
        ({"ppo": {"closing": None}}, "holds no tokenizer: set objective's closing, or save one"),
        ({"plan": {"steps": 12_000}}, "enough for"),
    ],
)
def test_what_cannot_run_is_refused_by_a_dry_run(folder: Path, changes: dict[str, Any], message: str) -> None:
    """Folders and numbers that do not fit each other cost no rollout."""
    with pytest.raises(ValueError, match=message):
        check(read_description(describe(folder, **changes)))


def test_prompts_come_back_from_their_folder(folder: Path) -> None:
    """Ids, tokens and domains, and a damaged folder is named."""
    assert load_prompts(folder / "prompts") == [*PROMPTS, LONG]
    save_prompts(folder / "some", PROMPTS[:2])
    np.save(folder / "prompts" / "domains.npy", np.full(25, 2, dtype=np.uint32))
    with pytest.raises(ValueError, match="not of one piece"):
        load_prompts(folder / "prompts")


def test_another_run_is_not_resumed(folder: Path) -> None:
    """Reward model, its system prompts, the mixed-in stream and the prompts are part of a run's identity."""
    plan = {"steps": 4}
    run(read_description(describe(folder, plan=plan)))
    described = read_description(describe(folder, plan=plan, ppo={"system_prompts": {"a": [90], "b": []}}))
    with pytest.raises(ResumeRefused, match=r"objective\.reward"):
        check(described)
    with pytest.raises(ResumeRefused, match=r"objective\.critic_scale"):
        check(read_description(describe(folder, plan=plan, ppo={"critic_scale": 2.0})))
    described = read_description(describe(folder, plan=plan))
    for name in ("prompts/domains.npy", "stream/draw_order.npy"):
        held = np.load(folder / name)
        np.save(folder / name, np.roll(held, 1))
        with pytest.raises(ResumeRefused, match="data_digest"):
            check(described)
        np.save(folder / name, held)
    assert check(described).resumes_from == 4


def test_frame_is_that_of_the_chat_template(folder: Path) -> None:
    """Stop token, system turn and closing from the tokenizer make the very document a reward model was trained on."""
    save_tokenizer(train_tokenizer(["a b c d e f g"], vocab_size=300, min_frequency=2), folder / "chat", max_length=64)
    tokenizer = load_chat_tokenizer(folder / "chat")
    (folder / "chat" / "config.json").write_text("{}")
    ppo = {"closing": None, "system_prompts": {"a": "Be kind.", "b": ""}}
    described = read_description(describe(folder, model="chat", ppo=ppo, rollouts={"stop_ids": []}))
    frame = _frame(described, described.objective)  # type: ignore[arg-type]
    question = [{"role": "user", "content": "a b"}]
    chosen, _ = reward_pair(tokenizer, question, "c", "d", "Be kind.")
    prompt = Prompt("p", tuple(generation_prompt(tokenizer, question)), "a")
    response = tokenizer.encode("c", add_special_tokens=False) + list(frame.stop_ids)
    answer = Answer(prompt, tuple(response))
    assert reward_tokens(answer, frame.system_prompts["a"], frame.closing, frame.bos) == chosen.tokens
    assert list(frame.closing) == reward_closing(tokenizer)
    assert len(frame.stop_ids) == 1


@pytest.mark.slow
def test_two_processes_train_the_same(folder: Path) -> None:
    """Both repeat the rollouts under torchrun and share the gradient; losses are those of one process to 1e-4."""
    plan = {"steps": 8}
    one = run(read_description(describe(folder, "one", plan=plan)))
    process = start(*torchrun_command(describe(folder, "two", plan=plan), 2, python=sys.executable))
    error = process.communicate()[1]
    assert process.returncode == 0, error
    assert read_report(folder / "two" / "output").losses == pytest.approx(one.losses, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_it_goes_on(folder: Path, number: int) -> None:
    """After SIGTERM from the iteration's end, after kill -9 from the last state: bit-equal with an undisturbed run."""
    plan = {"steps": 120, "checkpoint_every": 100 if number == signal.SIGTERM else 8}
    path = describe(folder, "ended", plan=plan)
    process = alone(path)
    wait_for(folder / "ended/state/metrics.jsonl", 18, process)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    described = read_description(path)
    resumed = run(described)
    whole = run(read_description(describe(folder, "whole", plan=plan)))
    assert 0 < (resumed.resumed_from or 0) < 120
    assert (resumed.resumed_from or 0) % 4 == 0
    assert resumed.losses == whole.losses
    assert outputs(described.output) == outputs(folder / "whole" / "output")
