"""Rollouts of a policy over problems: sampled, graded, as rows with their token ids and logprobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.core.errors import AthanorError
from assets.core.ids import content_id
from assets.core.verifier.outcome import Answer
from assets.core.verifier.verifier import Verifier
from models.inference.engine import Completion, Engine, Failed, Request, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# One row a response. `token_ids` have the stop token, `text` has not; `logprobs`, in nats, are the sampler's.
ROLLOUTS = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "problem_id": pl.String(),
        "k": pl.Int64(),
        "text": pl.String(),
        "token_ids": pl.List(pl.UInt32()),
        "logprobs": pl.List(pl.Float32()),
        "ended": pl.Boolean(),
        "tokens": pl.Int64(),
    }
)
GRADED = pl.Schema({**ROLLOUTS, "outcome": pl.String(), "extracted": pl.String(), "reward": pl.Float64()})

# An answer of an evaluation, a row a problem (specification: evaluation core). Aggregate later, from these rows.
RUN_RECORD = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "arm": pl.String(),
        "seed": pl.Int64(),
        "item_id": pl.String(),
        "group_id": pl.String(),
        "difficulty": pl.Int64(),
        "skill": pl.String(),
        "prompt": pl.String(),
        "raw_output": pl.String(),
        "parsed": pl.String(),
        "parse_ok": pl.Boolean(),
        "outcome": pl.String(),
        "score": pl.Float64(),
        "n_tokens": pl.Int64(),
    }
)


def prompt_ids(tokenizer: PreTrainedTokenizerFast, questions: Sequence[str]) -> list[tuple[int, ...]]:
    """What the policy reads of each question: a user's message by the tokenizer's chat template. Raises `Refused`."""
    from models.training.chat import generation_prompt

    return [tuple(generation_prompt(tokenizer, [{"role": "user", "content": question}])) for question in questions]


def roll_out(
    engine: Engine,
    problem_ids: Sequence[str],
    prompts: Sequence[tuple[int, ...]],
    sampling: Sampling,
    *,
    n: int,
    seeds: Sequence[int],
) -> pl.DataFrame:
    """`n` responses to each prompt, as ROLLOUTS in the order of the prompts. A problem may come more than once.

    A response depends on its prompt and seed alone. Raises AthanorError when the engine gives one up: a batch with
    holes would be another batch.
    """
    # The tokenizer of the chat template put the stop token there; the engine's samples carry it.
    requests = (
        Request(prompt, sampling, n=n, seed=seed, logprobs=True) for prompt, seed in zip(prompts, seeds, strict=True)
    )
    found: dict[int, Completion] = {}
    for place, answer in engine.generate(requests):
        if isinstance(answer, Failed):
            raise AthanorError(
                f"the policy gave no answer to problem {problem_ids[place]}: {answer.reason}: {answer.message}",
                "raise the model's max_length or lower max_new_tokens, or see the engine's log; then run again",
            )
        found[place] = answer
    rows = [
        {
            "id": content_id("rollout", name, str(seeds[place]), str(k), np.array(sample.token_ids).tobytes().hex()),
            "parents": [name],
            "problem_id": name,
            "k": k,
            "text": sample.text,
            "token_ids": sample.token_ids,
            "logprobs": sample.logprobs,
            "ended": sample.finish_reason == "stop",
            "tokens": len(sample.token_ids or ()),
        }
        for place, name in enumerate(problem_ids)
        for k, sample in enumerate(found[place].samples)
    ]
    return pl.DataFrame(rows, schema=ROLLOUTS)


def grade_rollouts(verifier: Verifier, rollouts: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """The rollouts with the verifier's outcome, what it compared, and the reward (+1 for right, else -1), as GRADED."""
    truth = problems.select("question", "gold_answer", "verifier", problem_id="id").unique("problem_id")
    asked = rollouts.join(truth, on="problem_id", how="left", maintain_order="left")
    answers = [
        Answer(row["question"], row["gold_answer"], row["text"], row["ended"])
        for row in asked.select("question", "gold_answer", "text", "ended").iter_rows(named=True)
    ]
    grades = verifier.grade(answers, asked["verifier"].to_list())
    return rollouts.with_columns(
        outcome=pl.Series([grade.outcome for grade in grades], dtype=pl.String),
        extracted=pl.Series([grade.extracted for grade in grades], dtype=pl.String),
        reward=pl.Series([grade.reward for grade in grades], dtype=pl.Float64),
    )


def greedy(
    engine: Engine, verifier: Verifier, problems: pl.DataFrame, prompts: Sequence[tuple[int, ...]], max_new_tokens: int
) -> pl.DataFrame:
    """The likeliest answer to every problem, graded."""
    sampling = Sampling(max_new_tokens=max_new_tokens, temperature=0.0)
    rollouts = roll_out(engine, problems["id"].to_list(), prompts, sampling, n=1, seeds=[0] * problems.height)
    return grade_rollouts(verifier, rollouts, problems)


def record_rows(asked: pl.DataFrame, answers: pl.DataFrame, *, checkpoint: str, arm: str, seed: int) -> pl.DataFrame:
    """One graded answer to each problem, in their order, as RUN_RECORD. `checkpoint` is the id of its row."""
    return asked.select(
        id=pl.Series([content_id("score", checkpoint, name) for name in asked["id"]], dtype=pl.String),
        parents=pl.concat_list("id", pl.lit(checkpoint)),
        arm=pl.lit(arm),
        seed=pl.lit(seed, dtype=pl.Int64),
        item_id="id",
        group_id=pl.col("difficulty").cast(pl.String),
        difficulty="difficulty",
        skill="skill",
        prompt="question",
        raw_output=answers["text"],
        parsed=answers["extracted"],
        parse_ok=answers["extracted"].is_not_null(),
        outcome=answers["outcome"],
        score=(answers["outcome"] == "right").cast(pl.Float64),
        n_tokens=answers["tokens"],
    ).select(RUN_RECORD.names())


def right_matrix(graded: pl.DataFrame, n: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Which rollouts are right, bool [problems, n], for rows in the order of `roll_out`."""
    return (graded["outcome"] == "right").to_numpy().reshape(-1, n)
