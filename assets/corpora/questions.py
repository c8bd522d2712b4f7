r"""Problems out of the rows of public question sets: which fields they have, and where the gold answer stands.

Known are GSM8K (`answer` ends with a line `#### n`), MATH (`\boxed{}` in `solution`), OREAL's prompts (`gold_answer`,
`pass_rate`), SVAMP (`Body` and `Question`), and any set with `question` and `answer`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from assets.core.ids import content_id
from assets.core.problems import EVALUATION, SPLITS, TRAINING, split_of
from assets.core.verifier.extract import MARKER, after_marker, last_boxed

# GSM8K's marks for a calculator: <<48/2=24>>.
CALCULATION: Final = re.compile(r"<<[^<>]*>>")
# OREAL's pass rates are means over so many samples (OREAL-RL-Prompts, authors' page).
PASS_RATE_SAMPLES: Final = 16
SPLIT_NAMES: Final = {
    "sft": "sft", "rl": "rl", "search": "search", "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of a row's fields; those of `question` are joined, of `skill` the first that is there counts.

    Without an `answer` it is taken from the solution.
    """

    question: tuple[str, ...]
    answer: str = ""
    solution: str = ""
    skill: tuple[str, ...] = ()
    difficulty: str = ""


GSM8K: Final = Layout(("question",), solution="answer")
PLAIN: Final = Layout(("question",), "answer", "solution", ("subject", "type", "skill"), "level")
MATH: Final = Layout(("problem",), "answer", "solution", ("subject", "type"), "level")
OREAL: Final = Layout(("question",), "gold_answer", "gold_solution", ("skill",), "difficulty")
SVAMP: Final = Layout(("Body", "Question"), "Answer", skill=("Type",))


class Unusable(ValueError):
    """A row that is no problem; `reason` is the same for all rows of a kind."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def recognise(values: Mapping[str, Any]) -> Layout:
    """The layout of a row, by the names of its fields. Raises Unusable."""
    if "gold_answer" in values and "question" in values:
        return OREAL
    if "problem" in values:
        return MATH
    if "Body" in values and "Question" in values:
        return SVAMP
    if "question" in values:
        return GSM8K if after_marker(str(values.get("answer"))) is not None else PLAIN
    raise Unusable(
        "unknown_fields",
        f"fields {', '.join(map(repr, values))}: set question_field, and answer_field or solution_field, to theirs",
    )


def problem(values: Mapping[str, Any], layout: Layout) -> dict[str, object]:
    """The row of PROBLEMS, its split left open. Raises Unusable."""
    question = " ".join(part for part in (_text(values, name) for name in layout.question) if part)
    if not question:
        raise Unusable("no_question", f"nothing in {' and '.join(layout.question)}: set question_field to its field")
    solution = CALCULATION.sub("", _text(values, layout.solution))
    answer = _text(values, layout.answer) or after_marker(solution) or last_boxed(solution)
    if not answer:
        raise Unusable(
            "no_answer",
            f"nothing in {layout.answer or layout.solution!r}, no line {MARKER}, no box: set answer_field to its field",
        )
    return {
        "id": content_id("question", question, answer),
        "parents": [],
        "question": question,
        "gold_answer": answer,
        "gold_solution": solution,
        "difficulty": _difficulty(values, layout, solution),
        "skill": next((text for text in (_text(values, name) for name in layout.skill) if text), ""),
        "verifier": "math",
    }


def _text(values: Mapping[str, Any], name: str) -> str:
    """A field as text, whole numbers without a fraction; empty where it is not there. Raises Unusable."""
    value = values.get(name)
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value in (math.inf, -math.inf):
        raise Unusable("not_text", f"{name!r} holds {value!r:.80}, neither text nor a number: set the field names")
    if value != value:
        raise Unusable("not_text", f"{name!r} holds no number: leave the field out or fill it")
    text = str(value).strip()
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unusable("invalid_utf8", f"{name!r}: {error}; take the broken character out") from error
    return text


def _difficulty(values: Mapping[str, Any], layout: Layout, solution: str) -> int:
    """The level, else how many of 16 samples a pass rate says were wrong, else the solution's lines."""
    level = re.search("[0-9]{1,9}", _text(values, layout.difficulty))
    if level:
        return int(level[0])
    pass_rate = values.get("pass_rate")
    if isinstance(pass_rate, int | float) and 0 <= pass_rate <= 1:
        return round(PASS_RATE_SAMPLES * (1 - pass_rate))
    return sum(bool(line.strip()) and not line.startswith(MARKER) for line in solution.split("\n"))


def same_question(question: str) -> str:
    """What two spellings of a question have in common: letters without their case, single spaces."""
    return " ".join(question.casefold().split())


def split_for(row: Mapping[str, Any], name: str, shares: Mapping[str, float]) -> str:
    """The split of a problem from a file of this name; `shares` are of all five splits.

    The last word of the name that is a split's counts. Without a solution there is nothing to fine-tune on, and what
    would be sft is shared out among rl and search.
    """
    words = [word for word in re.split("[^a-z]+", name.lower()) if word in SPLIT_NAMES]
    named = SPLIT_NAMES[words[-1]] if words else ""
    if named in SPLITS:
        return named
    key = same_question(str(row["question"]))
    if named != "train":
        split = split_of(key, shares)
        if split in EVALUATION:
            return split
    weights = {split: shares[split] for split in TRAINING if split != "sft" or row["gold_solution"]}
    return split_of(key, weights, seed=1) if sum(weights.values()) else "rl"
