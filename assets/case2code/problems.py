"""What a model is asked in an evaluation, in the form that its arm knows. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import polars as pl

from assets.case2code.arms import STYLE_OF, Arm, chat_question, few_shot_prompt, question
from assets.case2code.completion import completion_prompt
from assets.case2code.evaluate import Problem, chat_prompt
from assets.case2code.render import Sample, StyleName
from assets.case2code.schema import Cases
from assets.internlm2.tokenizer import BOS


def choose_evenly(groups: pl.Series, n: int) -> list[int]:
    """Places of at most `n` rows, the groups taken in turn; of each group the first ones."""
    rows = pl.DataFrame({"group": groups}).with_row_index("place")
    turns = rows.with_columns(turn=pl.int_range(pl.len()).over("group"))
    return turns.sort("turn", "group", maintain_order=True)["place"].head(n).sort().to_list()


def induction_problem(
    cases: Cases,
    group: str,
    arm: Arm,
    style: StyleName,
    *,
    shots: Sequence[Cases],
    n_shots: int,
    max_shown: int,
    hint: bool,
    seed: int,
) -> Problem | None:
    """A function to find from its first cases; None where the prompt is too long.

    Arms that never saw cases are shown `n_shots` solved problems, drawn from `shots` for each problem.
    """
    sample = question(cases, style, seed, max_shown=max_shown)
    if sample is None:
        return None
    if arm in STYLE_OF:
        prompt = chat_prompt(sample.prompt, cases.func_name) if hint else chat_question(sample.prompt)
    else:
        drawn = Random(f"shots:{seed}:{cases.id}").sample(shots, min(n_shots, len(shots)))
        solved = [question(shot, style, seed, max_shown=max_shown) for shot in drawn]
        prompt = f"{BOS}{few_shot_prompt([shot for shot in solved if isinstance(shot, Sample)], sample.prompt)}"
    return Problem(cases.id, group, prompt, cases, sample.shown)


def completion_problem(cases: Cases, group: str) -> Problem | None:
    """A real function to complete from its signature and docstring; None where it has no docstring.

    It shows no case: all of them are hidden.
    """
    begun = completion_prompt(cases.code, cases.func_name)
    return None if begun is None else Problem(cases.id, group, f"{BOS}{begun}", cases, (), begun)
