"""A world that is learned in seconds: the start guesses one of three answers, and the right one is always the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch

from assets.core.ids import content_id
from assets.core.policy_engine import PolicyEngineResource
from assets.core.problems import problems_frame
from assets.core.rollouts import grade_rollouts, prompt_ids, roll_out
from assets.core.trainer import TrainerResource
from assets.core.training import train_model
from assets.core.verifier.verifier import Verifier
from assets.internlm2.config import DecoderSize
from assets.internlm2.decoder import new_decoder
from assets.oreal.arms import ARMS
from assets.oreal.config import PolicyConfig
from assets.oreal.iterate import Loop, Problems
from assets.oreal.reward_model import as_trajectories, batches
from assets.oreal.sft import solved_examples
from assets.worlds.chain_arith.tokenizer import save_tokenizer
from models.architecture.heads import TokenRewardModel
from models.architecture.huggingface import load_folder, save_folder
from models.architecture.token_reward_folder import save_token_reward_folder
from models.inference.engine import ReloadableEngine, Sampling
from models.training.chat import load_chat_tokenizer
from models.training.examples import screen
from models.training.objectives import SFT
from models.training.plan import TrainingPlan
from models.training.token_reward import token_reward_objective
from models.training.trajectories import TrajectorySource

GUESSES, TRUTH = "0012", "1"
SPLITS = {"sft": 200, "rl": 40, "valid": 10, "test": 40}
SIZE = {"dim": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "ffn_dim": 32, "max_length": 64}
SAMPLING = Sampling(max_new_tokens=8)
SFT_PLAN = TrainingPlan(
    steps=80, batch_rows=8, sequence_length=64, peak_lr=1e-2, warmup_steps=5, min_lr_fraction=1.0, threads=1
)
REWARD_PLAN = TrainingPlan(steps=40, batch_rows=32, sequence_length=64, peak_lr=3e-2, warmup_steps=2, threads=1)
POLICY = PolicyConfig(
    iterations=5, prompts_per_iteration=16, n_samples=4, updates=2, max_new_tokens=8, peak_lr=1e-3, reward_lr=1e-3,
    warmup_steps=2, evaluate_every=2,
)  # fmt: skip


def problems() -> pl.DataFrame:
    """Sums whose answers to learn from are drawn, and whose answers to be found are all the same."""
    rows = []
    for split, count in SPLITS.items():
        for _ in range(count):
            number = len(rows)
            answer = GUESSES[number % len(GUESSES)] if split == "sft" else TRUTH
            question = f"{number // 10}+{number % 10}=?"
            rows.append(
                {
                    "id": content_id("tiny", question), "parents": [], "split": split, "question": question,
                    "gold_answer": answer, "gold_solution": f"#### {answer}", "difficulty": 1 + number % 2,
                    "skill": "guess", "verifier": "exact",
                }
            )  # fmt: skip
    return problems_frame(rows)


def read(split: str, folder: Path) -> Problems:
    """A split with what the tokenizer in `folder` makes of it."""
    rows = problems().filter(pl.col("split") == split)
    return Problems(
        rows, dict(zip(rows["id"], prompt_ids(load_chat_tokenizer(folder), rows["question"].to_list()), strict=True))
    )


def save_start(folder: Path, work: Path) -> None:
    """A policy that answers each question by a guess."""
    save_tokenizer(work / "words")
    tokenizer = load_chat_tokenizer(work / "words")
    rows = problems().filter(pl.col("split") == "sft").select("id", "question", "gold_solution")
    examples, _ = screen(solved_examples(rows.iter_rows(), tokenizer), SFT_PLAN.sequence_length)
    policy = new_decoder(DecoderSize(**SIZE, rope_base=1e4), len(tokenizer), 0)
    train_model(
        TrainerResource(), policy, examples, SFT_PLAN, objective=SFT, state_folder=work / "sft", data_digest="sft",
        on_step=lambda record: None, epochs=100,
    )  # fmt: skip
    save_folder(policy, folder, work / "words")


def save_reward_start(folder: Path, start: Path, work: Path) -> None:
    """A token reward model that has seen some answers of the start."""
    asked = read("rl", start)
    names = asked.rows["id"].to_list()
    with PolicyEngineResource().open(start, work / "logs") as engine, Verifier() as verifier:
        drawn = roll_out(engine, *asked.at(range(len(names))), SAMPLING, n=4, seeds=range(len(names)))
        graded = grade_rollouts(verifier, drawn, asked.rows)
    model = TokenRewardModel(load_folder(start).float(), head_spread=0.0)
    rows = as_trajectories(graded, dict(asked.prompts))
    train_model(
        TrainerResource(), model, TrajectorySource(batches(rows, REWARD_PLAN.steps, REWARD_PLAN.batch_rows, 0)),
        REWARD_PLAN, objective=token_reward_objective(), state_folder=work / "reward", data_digest="reward",
        on_step=lambda record: None,
    )  # fmt: skip
    save_token_reward_folder(model, folder, start)


def save_starts(folder: Path) -> None:
    """Both, as `policy` and `reward` in `folder`."""
    torch.set_num_threads(1)
    save_start(folder / "policy", folder / "work")
    save_reward_start(folder / "reward", folder / "policy", folder / "work")


def make_loop(
    starts: Path,
    work: Path,
    engine: ReloadableEngine,
    verifier: Verifier,
    *,
    arm: str = "oreal",
    config: PolicyConfig = POLICY,
    kind: type[Loop] = Loop,
) -> Loop:
    """The iterations of an arm from the starts in a folder; every third problem is asked twice in a pass."""
    asked = read("rl", starts / "policy")
    return kind(
        arm=ARMS[arm], config=config, seed=3, problems=asked, times=1 + (np.arange(asked.rows.height) % 3 == 0),
        valid=read("valid", starts / "policy"), start=starts / "policy",
        reward_start=starts / "reward" if ARMS[arm].token_weights else None, engine=engine, verifier=verifier,
        trainer=TrainerResource(), work=work, digest="tiny",
    )  # fmt: skip
