"""Assets of OREAL up to the first iteration: the start, what it answers, the queries, the token reward model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.core.checkpoint import CHECKS, describe_training, publish_weights, step_metrics
from assets.core.checkpoint_recipe import checkpoint_recipe
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.policy_engine import PolicyEngineResource
from assets.core.progress import LOGGER, bar
from assets.core.recipe import Input, recipe
from assets.core.rollouts import grade_rollouts, prompt_ids, right_matrix, roll_out
from assets.core.tracking import Tracking
from assets.core.trainer import TrainerResource
from assets.core.training import train_model
from assets.core.verifier.outcome import Answer
from assets.core.verifier.verifier import Kind, Verifier, verifier_identity
from assets.internlm2.decoder import new_decoder
from assets.oreal import plots
from assets.oreal.config import SEEDS, PromptsConfig, RolloutsConfig, SftConfig
from assets.oreal.look import Look, look
from assets.oreal.selection import informative, repeats
from assets.oreal.sft import solved_examples, train_until_useful
from models.inference.engine import Sampling
from models.training.prompts import derived_seed

if TYPE_CHECKING:
    from models.architecture.decoder import Decoder
    from models.training.plan import StepRecord, TrainingReport

PROBLEMS = Input("corpora/problems")
POLICY = Input("oreal/sft_policy")
ROLLOUTS = Input("oreal/initial_rollouts")
# Keeps the noise of the start's rollouts apart from that of the iterations.
INITIAL = 1


def chosen(problems: Dataset, split: str, n: int) -> pl.DataFrame:
    """At most `n` problems of a split; ids are hashes of the content, so that their order is a draw."""
    return problems.read().filter(pl.col("split") == split).sort("id").head(n)


@checkpoint_recipe(
    "oreal/sft_policy",
    inputs={"problems": PROBLEMS, "tokenizer": Input("worlds/chain_arith_tokenizer")},
    partitions=SEEDS,
    checks=(*CHECKS, "problems_teach"),
    resources=("policy_engine",),
)
def sft_policy(
    out: DatasetWriter,
    config: SftConfig,
    problems: Dataset,
    tokenizer: Dataset,
    partition: str,
    tracking: Tracking,
    trainer: TrainerResource,
    policy_engine: PolicyEngineResource,
) -> None:
    """The policy that every arm starts from: fine-tuned on solutions until it is good and still makes mistakes."""
    from models.architecture.huggingface import load_folder, save_folder
    from models.training.chat import load_chat_tokenizer
    from models.training.examples import screen
    from models.training.objectives import SFT
    from models.training.plan import TrainingPlan

    words = Path(config.base) if config.base else tokenizer.folder
    if not config.base and problems.manifest.metadata.get("source") == "questions":
        raise InputError(
            "a fresh model with ChainArith's characters cannot read your questions",
            "set `base` of oreal/sft_policy to a Hugging Face folder, or unset ATHANOR_QUESTIONS",
        )
    vocabulary = load_chat_tokenizer(words)
    rows = problems.read("id", "split", "question", "gold_solution").filter(pl.col("split") == "sft").drop("split")
    examples, unfit = screen(solved_examples(rows.iter_rows(), vocabulary), config.sequence_length)
    plan = TrainingPlan(
        steps=config.steps, batch_rows=config.batch_rows, sequence_length=config.sequence_length,
        peak_lr=config.peak_lr, warmup_steps=config.warmup_steps, min_lr_fraction=1.0,
        weight_decay=config.weight_decay, seed=int(partition), checkpoint_every=config.select_every,
        dtype=trainer.dtype, threads=trainer.threads,
    )  # fmt: skip
    per_epoch = int(examples.lengths.sum()) // (config.batch_rows * config.sequence_length)
    valid = chosen(problems, "valid", config.n_problems)
    prompts = prompt_ids(vocabulary, valid["question"].to_list())
    name, tags = f"oreal/sft/seed{partition}", {"system": "oreal", "arm": "sft", "seed": partition}
    report: TrainingReport | None = None
    with (
        tracking.training_run(
            name=name, fingerprint=out.fingerprint, params={**tags, "train": config.model_dump()},
            datasets=[("problems", problems)], tags=tags,
        ) as run,
        Verifier() as verifier,
        bar(config.steps, label=name, unit=" steps") as advance,
    ):  # fmt: skip

        def on_step(record: StepRecord) -> None:
            run.log_step(record.step, step_metrics(record))
            advance(f"loss {record.loss:.3f}")

        def train(step: int) -> Decoder:
            nonlocal report
            start = load_folder(words).float() if config.base else new_decoder(config, len(vocabulary), int(partition))
            report = train_model(
                trainer, start, examples, plan, objective=SFT, state_folder=out.work / "state",
                data_digest=f"{problems.digest} {tokenizer.digest}", on_step=on_step,
                epochs=config.steps // max(1, per_epoch) + 2, tokenizer_folder=words, until=step,
            )  # fmt: skip
            return start

        def look_at(policy: Decoder) -> Look:
            folder = out.work / "look"
            save_folder(policy, folder, words)
            with policy_engine.open(folder, out.work / "logs") as engine:
                found = look(
                    engine, verifier, valid, prompts, n=config.n_samples, max_new_tokens=config.max_new_tokens,
                    seed=int(partition),
                )  # fmt: skip
            LOGGER.info("       %s: greedy %.3f, informative %.3f", name, found.accuracy, found.informative)
            return found

        def keep(policy: Decoder) -> None:
            save_folder(policy, out.work / "kept", words)

        looks, step = train_until_useful(train, look_at, keep, config, out.work / "looks.json")
        policy = load_folder(out.work / "kept")
        best = dict(looks)[step]
        weights = publish_weights(
            out, run, policy, words, name=name, tags=tags, metrics={"accuracy": best.accuracy}, dataset=problems
        )
    losses = report.losses if report else []
    out.check("training_complete", bool(step), steps=step)
    out.check("problems_teach", best.informative >= config.min_informative, informative=round(best.informative, 4))
    if report:
        describe_training(out, report, float(np.mean(losses[max(0, step - 20) : step])))
    out.describe(
        step=step, accuracy=round(best.accuracy, 4), sampled_accuracy=round(best.sampled, 4),
        informative=round(best.informative, 4), examples=len(examples), unfit=len(unfit),
        looks={str(number): vars(found) for number, found in looks},
    )  # fmt: skip
    out.write(
        pl.DataFrame(
            {
                "id": [content_id("checkpoint", "oreal/sft", partition, weights)],
                "parents": pl.Series([list(examples.ids)], dtype=pl.List(pl.String)),
                "arm": ["sft"],
                "seed": [int(partition)],
                "steps": [step],
                "accuracy": [best.accuracy],
                "informative": [best.informative],
            }
        )
    )
    out.plot("looks", plots.plot_looks(looks))


@recipe(
    "oreal/initial_rollouts",
    inputs={"policy": POLICY, "problems": PROBLEMS},
    partitions=SEEDS,
    external=verifier_identity,
    checks=("verifier_tells_truth",),
    resources=("policy_engine",),
    kinds={"pytorch"},
    tags={"stage": "sample"},
)
def initial_rollouts(
    out: DatasetWriter,
    config: RolloutsConfig,
    policy: Dataset,
    problems: Dataset,
    partition: str,
    policy_engine: PolicyEngineResource,
) -> None:
    """What the start answers to the problems of reinforcement learning, graded: several samples of each."""
    from models.training.chat import load_chat_tokenizer

    asked = chosen(problems, "rl", config.n_problems)
    if not asked.height:
        raise InputError("there are no problems for reinforcement learning", "give some of the split `rl`")
    prompts = prompt_ids(load_chat_tokenizer(policy.folder), asked["question"].to_list())
    sampling = Sampling(config.max_new_tokens, temperature=config.temperature, top_p=config.top_p)
    seeds = [derived_seed(config.seed, INITIAL, int(partition), place) for place in range(asked.height)]
    out.ledger.rows_in = asked.height * config.n_samples
    with policy_engine.open(policy.folder, out.work / "logs") as engine, Verifier() as verifier:
        drawn = roll_out(engine, asked["id"].to_list(), prompts, sampling, n=config.n_samples, seeds=seeds)
        out.write(grade_rollouts(verifier, drawn, asked))
        wrong = verifier_faults(verifier, asked.head(50))
    out.check("verifier_tells_truth", not wrong, faults=wrong[:5])


def verifier_faults(verifier: Verifier, problems: pl.DataFrame) -> list[str]:
    """What the verifier says falsely of the gold answers themselves, of answers cut off and of other numbers."""
    faults = []
    for kind in ("exact", "math"):
        rows = list(problems.filter(pl.col("verifier") == kind).iter_rows(named=True))
        answers, expected = [], []
        for row in rows:
            gold = row["gold_answer"]
            shown = row["gold_solution"] or f"#### {gold}"
            answers += [
                Answer(row["question"], gold, shown, True),
                Answer(row["question"], gold, shown, False),
                Answer(row["question"], gold, f"#### {gold}73", True),
                Answer(row["question"], gold, "", True),
            ]
            expected += [True, False, False, False]
        rule: Kind = kind  # type: ignore[assignment]
        grades = verifier.grade(answers, rule)
        faults += [
            f"{answer.gold!r} and {answer.response!r}: {grade.outcome}"
            for answer, grade, right in zip(answers, grades, expected, strict=True)
            if (grade.outcome == "right") != right
        ]
    return faults


@recipe(
    "oreal/prompts",
    inputs={"rollouts": ROLLOUTS, "problems": PROBLEMS},
    partitions=SEEDS,
    checks=("enough_to_learn", "no_evaluation_problem"),
    tags={"stage": "filter"},
)
def prompts(out: DatasetWriter, config: PromptsConfig, rollouts: Dataset, problems: Dataset, partition: str) -> None:
    """The queries: problems that the start does not solve nearly always, the harder ones asked more often."""
    graded = rollouts.read("problem_id", "k", "outcome")
    n = int(graded["k"].max()) + 1  # type: ignore[arg-type, operator]
    right = right_matrix(graded, n)
    names = graded["problem_id"].gather_every(n)
    rates = pl.DataFrame({"id": names, "pass_rate": right.mean(axis=1), "informative": informative(right)})
    rows = problems.read().join(rates, on="id", how="inner", validate="1:1").sort("id")
    out.ledger.rows_in = rows.height
    kept = rows.filter(pl.col("pass_rate") <= config.max_pass_rate)
    out.ledger.drop("too_easy", rows.height - kept.height)
    times = repeats(kept["pass_rate"].to_numpy(), config.bounds, config.times)
    out.write(kept.with_columns(times=pl.Series(times)))
    share = float(rates["informative"].mean())  # type: ignore[arg-type]
    out.check("enough_to_learn", share >= config.min_informative, informative=round(share, 4))
    heldout = problems.read("id", "split").filter(pl.col("split").is_in(["valid", "test"]))["id"]
    out.check("no_evaluation_problem", not set(kept["id"]) & set(heldout))
    out.describe(
        informative=round(share, 4), mean_pass_rate=round(float(right.mean()), 4), asked_per_pass=int(times.sum())
    )
    out.plot("pass_rates", plots.plot_pass_rates(rates["pass_rate"].to_numpy()))
