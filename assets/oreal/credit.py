"""Whether the token reward model finds where an answer went wrong: the truth is the world's, which it never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input, recipe
from assets.core.rollouts import prompt_ids
from assets.oreal.assets import POLICY, PROBLEMS, ROLLOUTS
from assets.oreal.config import SEEDS, CreditConfig
from assets.oreal.reward_model import as_trajectories, heldout_problems
from assets.worlds.chain_arith.problems import Rule, parse_question
from assets.worlds.chain_arith.steps import check_steps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Floats = NDArray[np.float64]
CREDIT = pl.Schema(
    {
        "id": pl.String(),
        "parents": pl.List(pl.String()),
        "seed": pl.Int64(),
        "item_id": pl.String(),
        "auc_model": pl.Float64(),
        "auc_position": pl.Float64(),
        "auc_uniform": pl.Float64(),
        "weight_right": pl.Float64(),
        "tokens": pl.Int64(),
    }
)


def first_wrong_token(question: str, tokens: list[str], rule: Rule) -> int | None:
    """The first token of the first wrong line, None where every line is right. `tokens` are the response's texts."""
    line = check_steps(parse_question(question), "".join(tokens), rule).first_wrong
    if line is None:
        return None
    begins, line_of = 0, 0
    for place, token in enumerate(tokens):
        if line_of == line:
            return begins
        if "\n" in token:
            line_of, begins = line_of + 1, place + 1
    return begins


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float | None:
    """The chance that a positive scores higher than a negative, ties half; None without one of either."""
    from scipy.stats import rankdata

    n = int(positive.sum())
    if not 0 < n < len(positive):
        return None
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def token_texts(tokenizer: PreTrainedTokenizerFast, ids: list[int], text: str) -> list[str]:
    """What each token of a response adds to its text; the stop token adds nothing."""
    pieces = [str(tokenizer.decode([token], skip_special_tokens=True)) for token in ids]
    return pieces if "".join(pieces) == text else list(text)


@recipe(
    "oreal/token_credit",
    inputs={
        "policy": POLICY, "rollouts": ROLLOUTS, "problems": PROBLEMS, "model": Input("oreal/token_reward_model")
    },
    partitions=SEEDS,
    ledger=False,
    tags={"stage": "evaluate"},
    kinds={"pytorch"},
)  # fmt: skip
def token_credit(
    out: DatasetWriter,
    config: CreditConfig,
    policy: Dataset,
    rollouts: Dataset,
    problems: Dataset,
    model: Dataset,
    partition: str,
) -> None:
    """How well scores of tokens, and their place alone, tell the tokens at and after the first error, on wrong answers
    to problems that the model was not trained on. One row a group of problems; empty without ChainArith's truth."""
    from models.architecture.token_reward_folder import load_token_reward_folder
    from models.training.chat import load_chat_tokenizer
    from models.training.outcome_rewards import token_weights
    from models.training.token_reward import token_scores

    rule = problems.manifest.metadata.get("rule")
    out.write(pl.DataFrame(schema=CREDIT))
    if rule is None:
        return
    tokenizer = load_chat_tokenizer(policy.folder)
    graded = rollouts.read()
    heldout = sorted(heldout_problems(graded["problem_id"], model.manifest.metadata["heldout_share"]))
    graded = graded.filter(pl.col("problem_id").is_in(heldout))
    asked = problems.read("id", "question").filter(pl.col("id").is_in(heldout))
    questions = dict(asked.iter_rows())
    prompts = dict(zip(asked["id"], prompt_ids(tokenizer, asked["question"].to_list()), strict=True))
    trajectories = as_trajectories(graded, prompts)
    scores = [score.double().numpy() for score in token_scores(load_token_reward_folder(model.folder), trajectories)]
    group_of = {name: place // config.problems_per_group for place, name in enumerate(heldout)}
    parts: dict[int, list[tuple[Floats, Floats, NDArray[np.bool_]]]] = {}
    right_weights: dict[int, list[Floats]] = {}
    for row, score in zip(graded.iter_rows(named=True), scores, strict=True):
        group = group_of[row["problem_id"]]
        if row["outcome"] == "right":
            right_weights.setdefault(group, []).append(token_weights(score, True))
            continue
        texts = token_texts(tokenizer, row["token_ids"], row["text"])
        wrong = first_wrong_token(questions[row["problem_id"]], texts, Rule(rule["modulus"], rule["order"]))
        if wrong is not None:
            places = np.arange(len(score))
            running = np.cumsum(score) / (places + 1)
            parts.setdefault(group, []).append((-running, places / len(score), places >= wrong))
    rows = []
    for group, found in sorted(parts.items()):
        model_scores, positions, after = (np.concatenate(column) for column in zip(*found, strict=True))
        rates = auc(model_scores, after), auc(positions, after)
        weights = right_weights.get(group)
        if None in rates or not weights:
            continue
        members = [name for name in heldout if group_of[name] == group]
        rows.append(
            {
                "id": content_id("credit", partition, *members),
                "parents": members,
                "seed": int(partition),
                "item_id": content_id("group", *members),
                "auc_model": rates[0],
                "auc_position": rates[1],
                "auc_uniform": 0.5,
                "weight_right": float(np.concatenate(weights).mean()),
                "tokens": len(after),
            }
        )
    frame = pl.DataFrame(rows, schema=CREDIT)
    out.write(frame)
    if rows:
        means = frame.select("auc_model", "auc_position", "weight_right").mean().row(0, named=True)
        out.describe(**{name: round(value, 4) for name, value in means.items()})
