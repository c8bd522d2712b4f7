"""The loss curve of every objective, kept beside the tests: a change of mathematics shows, a change of speed does not.

`ATHANOR_UPDATE_GOLDEN=1` writes the curves anew; a commit that changes one says why.
"""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.heads import critic_from_reward, reward_from_decoder
from models.training.dpo import dpo_objective
from models.training.examples import Examples, PackedExamples
from models.training.experience import RolloutPlan
from models.training.loop import train
from models.training.objectives import PRETRAIN, SFT
from models.training.packing import PackedStream
from models.training.plan import StepRecord, TrainingPlan
from models.training.ppo_objective import PPOModels, ppo_objective
from models.training.prompts import Prompt
from models.training.reward import reward_objective
from models.training.rewards import Answer
from models.training.rollouts import RolloutSource

GOLDEN = Path(__file__).parent / "golden"
CONFIG = DecoderConfig(vocab_size=97, dim=48, n_layers=2, n_heads=6, n_kv_heads=2, ffn_dim=80, max_length=64)
PLAN = TrainingPlan(
    steps=20, batch_rows=4, sequence_length=64, peak_lr=3e-3, warmup_steps=3, accumulation=2, threads=1
)  # fmt: skip
REWARD_TOKEN = 96
Curves = dict[str, list[float]]


def counting_documents(documents: int, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and offsets of documents that count upwards; every second one downwards."""
    generator = np.random.default_rng(7)
    lengths, starts = generator.integers(6, 25, size=documents), generator.integers(0, 96, size=documents)
    signs = np.where(np.arange(documents) % 2, -1, 1)
    tokens = [(s + sign * np.arange(n)) % 96 for s, sign, n in zip(starts, signs, lengths, strict=True)]
    if last is not None:  # a reward's pairs: the chosen document is of low tokens, the rejected one of high ones
        tokens = [np.append(each[:-1] % 48 + 48 * (i % 2), last) for i, each in enumerate(tokens)]
    return np.concatenate(tokens).astype(np.uint32), np.concatenate(([0], np.cumsum(lengths)))


def examples(documents_per_example: int, last: int | None = None, rows: int = 4) -> PackedExamples:
    """Documents of which the second half is trained; in pairs, the chosen one counts upwards."""
    tokens, offsets = counting_documents(800, last)
    place = np.arange(len(tokens)) - np.repeat(offsets[:-1], np.diff(offsets))
    trained = place >= np.repeat(np.diff(offsets) // 2, np.diff(offsets))
    ids = [f"e{index}" for index in range(800 // documents_per_example)]
    return PackedExamples(Examples(tokens, offsets, trained, ids, documents_per_example), 64, rows, epochs=2, seed=1)


def run(model: object, source: object, objective: object, folder: Path, plan: TrainingPlan = PLAN) -> Curves:
    records: list[StepRecord] = []
    train(model, source, plan, folder, "data", records.append, objective)  # type: ignore[arg-type]
    curves: Curves = {"loss": [record.loss for record in records], "grad_norm": [r.grad_norm for r in records]}
    for name in records[-1].means:
        curves[f"mean.{name}"] = [record.means.get(name, 0.0) for record in records]
    return curves


def pretrain(folder: Path) -> Curves:
    tokens, offsets = counting_documents(400)
    stream = PackedStream(tokens, offsets, np.random.default_rng(1).permutation(400), 64, 4)
    return run(Decoder(CONFIG), stream, PRETRAIN, folder)


def sft(folder: Path) -> Curves:
    return run(Decoder(CONFIG), examples(1), SFT, folder)


def reward(folder: Path) -> Curves:
    model = reward_from_decoder(Decoder(CONFIG))
    plan = replace(PLAN, batch_rows=8, peak_lr=1e-3)
    return run(model, examples(2, REWARD_TOKEN, rows=8), reward_objective(REWARD_TOKEN), folder, plan)


def dpo(folder: Path) -> Curves:
    policy = Decoder(CONFIG)
    return run(policy, examples(2), dpo_objective(policy), folder, replace(PLAN, peak_lr=1e-3))


def ppo(folder: Path) -> Curves:
    """A rule rewards the token 7; one iteration of critic-only warm-up, pretrain rows mixed in."""

    def lucky(answers: list[Answer]) -> list[float]:
        return [float(answer.response.count(7)) for answer in answers]

    actor = Decoder(CONFIG)
    critic = critic_from_reward(reward_from_decoder(actor))
    prompts = [Prompt(f"p{i}", tuple(range(20 + i, 22 + i + i % 5)), "rule") for i in range(24)]
    rollouts = RolloutPlan(
        prompts_per_iteration=8, max_new_tokens=10, stop_ids=(95,), minibatches=2, epochs=2, critic_warmup_iterations=1,
        seed=3,
    )  # fmt: skip
    tokens, offsets = counting_documents(400)
    mixed = PackedStream(tokens, offsets, np.arange(400), 64, 2)
    source = RolloutSource(prompts, rollouts, lucky, "count of 7", copy.deepcopy(actor), mixed)
    plan = replace(PLAN, peak_lr=1e-3)
    return run(PPOModels(actor, critic), source, ppo_objective(identity=source.identity()), folder, plan)


@pytest.mark.parametrize("objective", [pretrain, sft, reward, dpo, ppo])
def test_the_curve_is_the_golden_one(objective: Callable[[Path], Curves], tmp_path: Path) -> None:
    """Twenty steps give the losses, gradient norms and means on record; rounding of another CPU is allowed for."""
    found, path = objective(tmp_path), GOLDEN / f"{objective.__name__}.json"
    if os.environ.get("ATHANOR_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({name: [round(v, 7) for v in values] for name, values in found.items()}, indent=0))
    golden: Curves = json.loads(path.read_text())
    assert found.keys() == golden.keys()
    for name, values in golden.items():
        assert found[name] == pytest.approx(values, rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("name", ["pretrain", "sft", "reward", "dpo"])
def test_the_golden_curve_falls(name: str) -> None:
    """The curves on record are of runs that learn."""
    losses = json.loads((GOLDEN / f"{name}.json").read_text())["loss"]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])
