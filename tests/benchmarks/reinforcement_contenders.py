"""One contender of the benchmark in a process of its own: iterations of ours, or steps of TRL's GRPOTrainer.

`python -m tests.benchmarks.reinforcement_contenders FOLDER '{"trainer": "ours", ...}'` takes one iteration for every
line it reads, and answers each with a line of JSON: seconds, their parts, tokens per answer, answers learned from.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import torch

from tests.benchmarks.reinforcement_policy import MAX_NEW_TOKENS

GROUP, PROMPTS = 16, 16
ITERATIONS = 200
# So low that the policy, and with it the length of its answers, stays what it is.
LEARNING_RATE = 1e-7


class Stopwatch:
    """Seconds by part; what is timed within another part counts in the inner one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._parts = ["other"]
        self._mark = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._charge()
        self._parts.append(name)
        try:
            yield
        finally:
            self._charge()
            self._parts.pop()

    def times(self, owner: object, function: str, name: str) -> Any:
        """A patch under which every call of the function counts as `name`."""
        inner: Callable[..., Any] = getattr(owner, function)

        def outer(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return inner(*args, **kwargs)

        return patch.object(owner, function, outer)

    def restart(self) -> None:
        self._charge()
        self.seconds = {}

    def taken(self) -> dict[str, float]:
        self._charge()
        return self.seconds

    def _charge(self) -> None:
        now = time.perf_counter()
        self.seconds[self._parts[-1]] = self.seconds.get(self._parts[-1], 0.0) + now - self._mark
        self._mark = now


def wait() -> bool:
    """Whether another iteration is asked for."""
    return bool(sys.stdin.readline())


def answer(seconds: float, parts: dict[str, float], length: float, learned: int, right: float) -> None:
    found = {"seconds": seconds, "parts": parts, "length": length, "learned": learned, "right": right}
    print("iteration", json.dumps(found), flush=True)


def iterate_ours(folder: Path, setting: dict[str, Any]) -> None:
    """The `Loop` of `assets.oreal` as it is, with all that it leaves on the disk."""
    import assets.oreal.iterate as iterate
    from assets.core.policy_engine import PolicyEngineResource
    from assets.core.rollouts import prompt_ids
    from assets.core.trainer import TrainerResource
    from assets.core.verifier.verifier import Verifier
    from assets.oreal.arms import ARMS
    from assets.oreal.config import PolicyConfig
    from models.architecture import huggingface, token_reward_folder
    from models.architecture.heads import TokenRewardModel
    from models.inference.torch_engine import TorchEngine
    from models.training import loop as training
    from models.training.chat import load_chat_tokenizer

    start, reward = folder / "model", folder / f"reward-{os.getpid()}"
    rows = pl.read_parquet(folder / "prompts.parquet")
    prompts = prompt_ids(load_chat_tokenizer(start), rows["question"].to_list())
    # An untrained head, not one of zeros: that would give every token a weight of 0.
    scorer = TokenRewardModel(huggingface.load_folder(start).float())
    token_reward_folder.save_token_reward_folder(scorer, reward, start)
    problems = iterate.Problems(rows, dict(zip(rows["id"], prompts, strict=True)))
    config = PolicyConfig(
        iterations=ITERATIONS, prompts_per_iteration=PROMPTS, n_samples=GROUP, updates=1, peak_lr=LEARNING_RATE,
        max_new_tokens=MAX_NEW_TOKENS, evaluate_every=ITERATIONS, kl_coefficient=setting["kl"],
        reward_rows=setting["reward_rows"],
    )  # fmt: skip
    watch = Stopwatch()
    timed = [
        (iterate, "roll_out", "generate"), (TorchEngine, "load_weights", "load weights"),
        (iterate, "grade_rollouts", "verify"), (iterate, "select", "score"), (iterate, "weigh_tokens", "score"),
        (iterate.Loop, "_update_policy", "update"), (iterate.Loop, "_update_reward", "reward model"),
        (iterate, "phase", "persist"), (iterate, "_replace", "persist"), (training, "_save", "persist"),
        (training, "newest_state", "persist"), (os, "fsync", "fsync"),
    ]  # fmt: skip
    engine = PolicyEngineResource(dtype=setting["sampler_dtype"], threads=setting["threads"])
    with ExitStack() as stack, engine.open(start, folder) as opened, Verifier() as verifier:
        for owner, function, name in timed:
            stack.enter_context(watch.times(owner, function, name))
        loop = iterate.Loop(
            arm=ARMS[setting["arm"]], config=config, seed=0, problems=problems, times=np.ones(len(prompts), dtype=int),
            valid=problems, start=start, reward_start=reward, engine=opened, verifier=verifier,
            trainer=TrainerResource(dtype=setting["dtype"], threads=setting["threads"]),
            work=Path(tempfile.mkdtemp(dir=folder)), digest="benchmark",
        )  # fmt: skip
        scored: list[pl.DataFrame] = []
        records = loop.run(lambda iteration, rows, record: scored.append(rows))
        while wait():
            watch.restart()
            begun = time.perf_counter()
            record = next(records)
            seconds = time.perf_counter() - begun
            learned = scored[-1]["update"].count()
            answer(seconds, watch.taken(), record["response_length"], learned, record["reward"])


def step_trl(folder: Path, setting: dict[str, Any]) -> None:
    """GRPOTrainer with the same prompts, group, lengths and verifier, and without saving anything."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from transformers.utils import logging
    from trl import GRPOConfig, GRPOTrainer

    from assets.core.verifier.outcome import Answer
    from assets.core.verifier.verifier import Verifier

    logging.set_verbosity_error()
    torch.set_num_threads(setting["threads"])
    # The answer's end in ChainArith's chat template; TRL stops at the tokenizer's end alone.
    tokenizer = AutoTokenizer.from_pretrained(folder / "model", eos_token="<|im_end|>", padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=getattr(torch, setting["dtype"]))
    rows = pl.read_parquet(folder / "prompts.parquet")
    verifier, watch = Verifier(), Stopwatch()
    lengths: list[int] = []
    right: list[float] = []

    def reward(
        completions: list[str], completion_ids: list[list[int]], gold_answer: list[str], **_: Any
    ) -> list[float]:
        with watch.part("verify"):
            answers = [
                Answer("", gold, text, bool(ids) and ids[-1] == tokenizer.eos_token_id)
                for text, ids, gold in zip(completions, completion_ids, gold_answer, strict=True)
            ]
            lengths[:] = [len(ids) for ids in completion_ids]
            grades = verifier.grade(answers, "exact")
            right[:] = [float(grade.outcome == "right") for grade in grades]
            return [grade.reward for grade in grades]

    class Turns(TrainerCallback):
        begun = 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if not wait():
                os._exit(0)
            watch.restart()
            self.begun = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seconds = time.perf_counter() - self.begun
            groups = np.array(right).reshape(-1, GROUP).mean(axis=1)
            learned = int(((groups > 0) & (groups < 1)).sum()) * GROUP
            answer(seconds, watch.taken(), float(np.mean(lengths)), learned, float(np.mean(right)))

    micro = setting["micro_batch"]
    trainer = GRPOTrainer(
        model=model, reward_funcs=reward, processing_class=tokenizer, callbacks=[Turns()],
        train_dataset=Dataset.from_list(
            [{"prompt": f"<s>{question}\n", "gold_answer": gold}
             for question, gold in rows.select("question", "gold_answer").iter_rows()]
        ),
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(dir=folder), use_cpu=True, max_steps=ITERATIONS, num_generations=GROUP,
            per_device_train_batch_size=micro, gradient_accumulation_steps=GROUP * PROMPTS // micro,
            max_completion_length=MAX_NEW_TOKENS, learning_rate=LEARNING_RATE, beta=0.0, temperature=1.0,
            cache_implementation=setting["cache"], bf16=False, gradient_checkpointing=False, save_strategy="no",
            logging_strategy="no", report_to="none", disable_tqdm=True,
        ),
    )  # fmt: skip
    with watch.times(trainer, "_generate", "generate"), watch.times(trainer, "training_step", "update"):
        trainer.train()


def main() -> None:
    folder, setting = Path(sys.argv[1]), json.loads(sys.argv[2])
    (iterate_ours if setting["trainer"] == "ours" else step_trl)(folder, setting)


if __name__ == "__main__":
    main()
