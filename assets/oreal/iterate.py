"""The iterations of reinforcement learning, in phases that each lie on the disk before the next one begins.

rollouts → scores (verdicts, selection, token weights) → update of the token reward model → update of the policy → a
look. Killed anywhere, the next process repeats at most the phase that was going on; all noise comes from the seed, the
iteration and the place, so that it makes the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from assets.core.phases import phase
from assets.core.rollouts import grade_rollouts, greedy, right_matrix, roll_out
from assets.core.trainer import TrainerResource
from assets.core.training import train_model
from assets.core.verifier.verifier import Verifier
from assets.oreal.arms import Arm
from assets.oreal.config import PolicyConfig
from assets.oreal.trajectories import policy_updates, reward_updates, select, weigh_tokens
from models.inference.engine import ReloadableEngine, Sampling
from models.training.prompts import PromptOrder, derived_seed

if TYPE_CHECKING:
    from models.training.plan import StepRecord, TrainingPlan

STEPS = "steps.jsonl"
# Keeps the noise of the iterations apart from that of the start's rollouts.
ITERATIONS = 2
# A process computes its share of an update in so many parts of about equally many tokens, which stay in a CPU's caches:
# 0.57 of the time of one part with 256 answers of 60 tokens, 1 M parameters and float32.
PARTS = 4
RECORD_MEANS = ("kl", "entropy", "logprob_gap", "large_gap", "positive", "negative", "weight_right", "weight_wrong")


@dataclass(frozen=True)
class Problems:
    """Problems with what the policy reads of each: `rows` have the columns of `core.problems`, `prompts` are by id."""

    rows: pl.DataFrame
    prompts: Mapping[str, tuple[int, ...]]

    def at(self, places: Iterable[int]) -> tuple[list[str], list[tuple[int, ...]]]:
        """Ids and prompts of the rows at `places`, which may come more than once."""
        names = [self.rows["id"][int(place)] for place in places]
        return names, [self.prompts[name] for name in names]


@dataclass(frozen=True)
class Loop:
    """All that an arm's iterations need. `start` and `reward_start` are checkpoint folders; `times` says how often each
    problem is asked in a pass over all; `digest` names the data for the trainer's states in `work`."""

    arm: Arm
    config: PolicyConfig
    seed: int
    problems: Problems
    times: np.ndarray[tuple[int], np.dtype[np.int64]]
    valid: Problems
    start: Path
    reward_start: Path | None
    engine: ReloadableEngine
    verifier: Verifier
    trainer: TrainerResource
    work: Path
    digest: str

    def run(self, done: Callable[[int, pl.DataFrame, dict[str, Any]], None]) -> Iterator[dict[str, Any]]:
        """The record of each iteration, as it is finished; `done` gets its number, rollouts and record."""
        for iteration in range(self.config.iterations):
            scored = self.scores(iteration)
            record = phase(self._folder(iteration) / "record.parquet", partial(self._update, iteration, scored))
            found = record.row(0, named=True)
            done(iteration, scored, found)
            yield found

    def scores(self, iteration: int) -> pl.DataFrame:
        """An iteration's rollouts with verdicts, selection and token weights; made in two phases."""
        folder = self._folder(iteration)
        rollouts = phase(folder / "rollouts.parquet", partial(self._roll_out, iteration))
        return phase(folder / "scores.parquet", partial(self._score, iteration, rollouts))

    @property
    def best(self) -> Path:
        """The folder of the policy with the best look so far."""
        return self.work / "best"

    def _roll_out(self, iteration: int) -> pl.DataFrame:
        config = self.config
        self.engine.load_weights(self._policy(iteration if self.arm.on_policy else 0))
        entries = np.repeat(np.arange(self.problems.rows.height), self.times)
        order = PromptOrder(len(entries), config.prompts_per_iteration, self.seed)
        names, prompts = self.problems.at(entries[order.indices(iteration)].tolist())
        sampling = Sampling(config.max_new_tokens, temperature=config.temperature, top_p=config.top_p)
        seeds = [derived_seed(self.seed, ITERATIONS, iteration, place) for place in range(len(names))]
        return roll_out(self.engine, names, prompts, sampling, n=config.n_samples, seeds=seeds)

    def _score(self, iteration: int, rollouts: pl.DataFrame) -> pl.DataFrame:
        from models.architecture.token_reward_folder import load_token_reward_folder

        graded = grade_rollouts(self.verifier, rollouts, self.problems.rows)
        scored = select(
            graded, self.arm, n=self.config.n_samples, updates=self.config.updates, iteration=iteration, seed=self.seed
        )
        if not self.arm.token_weights:
            return scored
        model = load_token_reward_folder(self._reward(iteration)).to(self.trainer.device)
        return weigh_tokens(
            scored, self.problems.prompts, model, threshold=self.config.weight_threshold,
            rescale=self.config.rescale_weights,
        )  # fmt: skip

    def _update(self, iteration: int, scored: pl.DataFrame) -> pl.DataFrame:
        """Trains both models and looks at the policy; the iteration's record."""
        if self.arm.token_weights:
            self._update_reward(iteration, scored)
        means = self._update_policy(iteration, scored)
        found: dict[str, Any] = {
            "iteration": iteration,
            "reward": float((scored["outcome"] == "right").mean()),  # type: ignore[arg-type]
            "informative": float(scored["informative"].mean()),  # type: ignore[arg-type]
            "response_length": float(scored["tokens"].mean()),  # type: ignore[arg-type]
            "ended": float(scored["ended"].mean()),  # type: ignore[arg-type]
            "tokens": int(scored["tokens"].sum()),
            "verifier_calls": scored.height,
            **{outcome: int((scored["outcome"] == outcome).sum()) for outcome in ("unparsable", "timeout")},
            **{name: means.get(name) for name in ("drift", *RECORD_MEANS)},
            "accuracy": None,
        }
        last = iteration + 1 == self.config.iterations
        if last or (iteration + 1) % self.config.evaluate_every == 0:
            found["accuracy"] = self._look(iteration)
        self._forget(iteration)
        return pl.DataFrame([found], schema_overrides=dict.fromkeys((*RECORD_MEANS, "drift", "accuracy"), pl.Float64))

    def _update_policy(self, iteration: int, scored: pl.DataFrame) -> dict[str, float]:
        from models.architecture.huggingface import load_folder, save_folder
        from models.training.metrics_file import MetricsFile, read_metrics
        from models.training.outcome_objective import outcome_objective
        from models.training.trajectories import TrajectorySource

        first, until = self._steps(iteration)
        policy = load_folder(self.start).float()
        steps, loss = self.work / STEPS, self.arm.loss(self.config.kl_coefficient)
        train_model(
            self.trainer, policy, TrajectorySource(policy_updates(scored, self.problems.prompts), first),
            self.plan(self.config.peak_lr), objective=outcome_objective(policy, loss),
            state_folder=self.work / "policy-state", data_digest=self.digest, on_step=MetricsFile(steps), until=until,
            tokenizer_folder=self.start,
        )  # fmt: skip
        _replace(self._policy(iteration + 1), lambda folder: save_folder(policy, folder, self.start))
        own = [line["means"] for line in read_metrics(steps) if first <= line["step"] < until]
        # Before an iteration's first update the policy is the sampler; later ones move away on purpose.
        drift = {"drift": own[0]["logprob_gap"]} if own else {}
        return drift | {name: float(np.mean([means[name] for means in own if name in means])) for name in RECORD_MEANS
                if any(name in means for means in own)}  # fmt: skip

    def _update_reward(self, iteration: int, scored: pl.DataFrame) -> None:
        from models.architecture.token_reward_folder import load_token_reward_folder, save_token_reward_folder
        from models.training.token_reward import token_reward_objective
        from models.training.trajectories import TrajectorySource

        assert self.reward_start is not None
        first, until = self._steps(iteration)
        model = load_token_reward_folder(self.reward_start).float()
        updates = reward_updates(scored, self.problems.prompts, self.config.reward_rows)
        train_model(
            self.trainer, model, TrajectorySource(updates, first), self.plan(self.config.reward_lr),
            objective=token_reward_objective(), state_folder=self.work / "reward-state", data_digest=self.digest,
            on_step=_ignore, until=until, tokenizer_folder=self.start,
        )  # fmt: skip
        _replace(self._reward(iteration + 1), lambda folder: save_token_reward_folder(model, folder, self.start))

    def _look(self, iteration: int) -> float:
        """Greedy accuracy on validation problems; the best policy so far is kept."""
        self.engine.load_weights(self._policy(iteration + 1))
        prompts = [self.valid.prompts[name] for name in self.valid.rows["id"]]
        answers = greedy(self.engine, self.verifier, self.valid.rows, prompts, self.config.max_new_tokens)
        accuracy = float(right_matrix(answers, 1).mean())
        earlier = [
            pl.read_parquet(path)["accuracy"].item()
            for number in range(iteration)
            if (path := self._folder(number) / "record.parquet").exists()
        ]
        if not any(each is not None and each >= accuracy for each in earlier):
            _replace(self.best, lambda folder: shutil.copytree(self._policy(iteration + 1), folder))
        return accuracy

    def plan(self, peak_lr: float) -> TrainingPlan:
        """Of the policy or the token reward model over all iterations: cosine to a fifth (paper, §3.2)."""
        from models.training.plan import TrainingPlan

        config = self.config
        longest = max(len(prompt) for prompt in self.problems.prompts.values())
        # An update has any number of answers; the plan's rows only say in how many parts it is computed.
        steps = config.iterations * config.updates
        return TrainingPlan(
            steps=steps, batch_rows=PARTS * self.trainer.processes * self.trainer.nodes, accumulation=PARTS,
            sequence_length=longest + config.max_new_tokens, peak_lr=peak_lr,
            warmup_steps=min(config.warmup_steps, steps), min_lr_fraction=0.2,
            weight_decay=config.weight_decay, seed=self.seed, checkpoint_every=steps, dtype=self.trainer.dtype,
            threads=self.trainer.threads,
        )  # fmt: skip

    def _steps(self, iteration: int) -> tuple[int, int]:
        return iteration * self.config.updates, (iteration + 1) * self.config.updates

    def _folder(self, iteration: int) -> Path:
        return self.work / f"iteration-{iteration:04d}"

    def _policy(self, iteration: int) -> Path:
        """The policy that an iteration samples from."""
        return self.work / f"policy-{iteration:04d}" if iteration else self.start

    def _reward(self, iteration: int) -> Path:
        assert self.reward_start is not None
        return self.work / f"reward-{iteration:04d}" if iteration else self.reward_start

    def _forget(self, iteration: int) -> None:
        """Weights that no later phase reads."""
        for name in ("policy", "reward"):
            if iteration:
                shutil.rmtree(self.work / f"{name}-{iteration:04d}", ignore_errors=True)


def _replace(folder: Path, write: Callable[[Path], object]) -> None:
    """`folder` as `write` makes it, whole or not at all."""
    unfinished = folder.with_name(f".unfinished-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    write(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _ignore(record: StepRecord) -> None:
    """The token reward model's steps are told by its checks."""
