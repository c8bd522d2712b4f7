"""Assets of ChainArith: the problems in their splits, and the tokenizer of models that learn them."""

from __future__ import annotations

import polars as pl

from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import DatasetWriter
from assets.core.problems import EVALUATION, TRAINING, counts, problems_frame
from assets.core.recipe import recipe
from assets.worlds.chain_arith.config import ProblemsConfig
from assets.worlds.chain_arith.plots import plot_counts
from assets.worlds.chain_arith.problems import Drawn, Rule, draw_problems, parse_question, solve
from assets.worlds.chain_arith.splits import shows_solution, split_problems
from assets.worlds.chain_arith.steps import check_steps
from assets.worlds.chain_arith.tokenizer import CHARACTERS, SPECIAL, save_tokenizer


@recipe(
    "worlds/chain_arith",
    checks=("no_evaluation_problem_in_training", "solutions_check_out"),
    tags={"stage": "generate"},
)
def chain_arith(out: DatasetWriter, config: ProblemsConfig) -> None:
    """Chains of modular arithmetic with their solutions, in splits for fine-tuning, RL, search and evaluation."""
    if config.min_operations > config.max_operations:
        raise InputError("min_operations is above max_operations", "set it to at most max_operations")
    draws = draw_problems(
        modulus=config.modulus, min_operations=config.min_operations, max_operations=config.max_operations,
        skill_share=config.skill_share, seed=config.seed,
    )  # fmt: skip
    splits = split_problems(draws, config.sizes, config.seed)
    out.ledger.rows_in = splits.n_draws
    for reason, rows in splits.dropped.items():
        out.ledger.drop(reason, rows)
    problems = problems_frame(
        [_row(drawn, split, config.rule) for split, found in splits.problems.items() for drawn in found]
    )
    out.write(problems)
    _check_splits(out, problems)
    _check_solutions(out, problems, config.rule)
    by_difficulty = counts(problems, "difficulty")
    out.describe(
        rule={"modulus": config.modulus, "order": config.order},
        problems={split: len(found) for split, found in splits.problems.items()},
        difficulty=by_difficulty,
        skill=counts(problems, "skill"),
    )
    out.plot("difficulty", plot_counts(by_difficulty, "operations"))


def _row(drawn: Drawn, split: str, rule: Rule) -> dict[str, object]:
    problem, skill = drawn
    solution, answer = solve(problem, rule)
    return {
        "id": content_id("chain_arith", str(rule.modulus), rule.order, problem.question),
        "parents": [],
        "split": split,
        "question": problem.question,
        "gold_answer": answer,
        "gold_solution": solution,
        "difficulty": len(problem.operators),
        "skill": skill,
        "verifier": "exact",
    }


def _check_splits(out: DatasetWriter, problems: pl.DataFrame) -> None:
    """No id of the evaluation is in training, and no training chain begins with a chain of the evaluation."""
    training, evaluation = (problems.filter(pl.col("split").is_in(splits)) for splits in (TRAINING, EVALUATION))
    formulas = {parse_question(question).formula for question in evaluation["question"]}
    ids = set(training["id"]) & set(evaluation["id"])
    shown = [question for question in training["question"] if shows_solution(parse_question(question), formulas)]
    out.check("no_evaluation_problem_in_training", not ids and not shown, ids=len(ids), formulas=len(shown))


def _check_solutions(out: DatasetWriter, problems: pl.DataFrame, rule: Rule) -> None:
    """Every solution passes the step checker and ends with the gold answer."""
    wrong = [
        question
        for question, solution, answer in problems.select("question", "gold_solution", "gold_answer").iter_rows()
        if not check_steps(parse_question(question), solution, rule).solved or not solution.endswith(f"# {answer}")
    ]
    out.check("solutions_check_out", not wrong, checked=problems.height, wrong=wrong[:5])


@recipe(
    "worlds/chain_arith_tokenizer",
    kind="checkpoint",
    ledger=False,
    checks=("characters_survive", "prompt_begins_conversation"),
    tags={"stage": "tokenizer"},
)
def chain_arith_tokenizer(out: DatasetWriter) -> None:
    """One token a character of ChainArith, with a chat template that ends an answer by `<|im_end|>`."""
    from models.training.chat import generation_prompt, load_chat_tokenizer, render

    save_tokenizer(out.folder)
    tokenizer = load_chat_tokenizer(out.folder)
    ids = tokenizer.encode(CHARACTERS, add_special_tokens=False)
    out.check("characters_survive", tokenizer.decode(ids) == CHARACTERS and len(ids) == len(CHARACTERS))
    question = {"role": "user", "content": "1+2=?"}
    prompt = generation_prompt(tokenizer, [question])
    whole = render(tokenizer, [question, {"role": "assistant", "content": "1+2=3\n#### 3"}])
    trained = tokenizer.decode([token for token, mark in zip(*whole, strict=True) if mark])
    fits = whole.tokens[: len(prompt)] == prompt and trained == "1+2=3\n#### 3<|im_end|>"
    out.check("prompt_begins_conversation", fits)
    tokens = (*SPECIAL, *CHARACTERS)
    out.write(pl.DataFrame({"id": [str(place) for place in range(len(tokens))], "token": tokens}))
    out.describe(vocab_size=len(tokens))
