"""Training texts that repeat evaluation texts are found however they are spelt; near misses are not."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.core.decontamination.index import COLUMNS, DEFAULT, EvaluationIndex, Rules, overlaps

GSM8K = Path(__file__).parents[5] / "shared/data/math"
QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
WORDS = re.findall(r"\w+", QUESTION)


def index_of(*texts: str, rules: Rules = DEFAULT) -> EvaluationIndex:
    names = [str(place) for place in range(len(texts))]
    columns = {"evaluation_set": ["test"] * len(texts), "evaluation_id": names, "text": texts}
    return EvaluationIndex.build(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)), rules)


def found_in(index: EvaluationIndex, *texts: str) -> list[tuple[str, str, str]]:
    """(training id, evaluation id, kind) of every overlap."""
    columns = {"id": [str(place) for place in range(len(texts))], "text": texts}
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return list(overlaps(frame, index).select("id", "evaluation_id", "kind").iter_rows())


@pytest.mark.parametrize(
    "text",
    [
        QUESTION,
        QUESTION.upper(),
        QUESTION.replace(" ", "\n"),
        re.sub(r"[,.?]", " --", QUESTION),
        f"{'Some other words before it. ' * 200}\n\n{QUESTION} And {'others behind ' * 200}",
        "<p>" + QUESTION.replace("clips", "<b>clips</b>").replace("April, ", "April,</p>\n<p>") + "</p>",
        QUESTION.replace("friends", "**friends**").replace("half", "_half_"),
        QUESTION.replace("friends", "ｆｒｉｅｎｄｓ").replace(" in ", "\u00a0in\u00a0"),
        QUESTION.replace("friends", "fri\u00adends"),
        " ".join(WORDS[5:18]),
    ],
    ids=[
        "verbatim", "case", "re-wrapped", "punctuation", "inside a document", "html", "markdown", "compatibility forms",
        "soft hyphen", "thirteen words",
    ],
)  # fmt: skip
def test_planted_copies_are_found(text: str) -> None:
    """However a copy is spelt, it is told with the item and the words that both have."""
    rows = overlaps(pl.DataFrame({"id": ["row"], "text": [text]}), index_of(QUESTION))
    assert rows.columns == list(COLUMNS)
    [(name, found_set, item, kind, evidence)] = rows.iter_rows()
    assert (name, found_set, item, kind) == ("row", "test", "0", "ngram")
    assert len(evidence.split()) == 13
    assert evidence in " ".join(WORDS).lower()


@pytest.mark.parametrize(
    "text",
    [" ".join(WORDS[4:16]), " ".join([*WORDS[:12], "and", *WORDS[13:25]]), " ".join(reversed(WORDS)), "", "?!"],
    ids=["twelve words", "one word in thirteen differs", "reversed", "empty", "no word"],
)
def test_near_misses_pass(text: str) -> None:
    """Twelve words in a row are not thirteen."""
    assert found_in(index_of(QUESTION), text) == []


def test_words_of_two_texts_are_no_run() -> None:
    """A run does not go on from one text into the next, in training or in the evaluation."""
    halves = " ".join(WORDS[:8]), " ".join(WORDS[8:16])
    assert found_in(index_of(QUESTION), *halves) == []
    assert found_in(index_of(*halves), " ".join(WORDS)) == []


def test_short_texts_match_whole() -> None:
    """As the training text or a line of it; signs count; what is too short is not looked for, and counted."""
    index = index_of("17+5*3-8=?", "Who wrote the first novel?", "42", "yes", rules=Rules(min_operations=0))
    texts = [
        "17 + 5 × 3 − 8 =",
        "17-5*3-8=?",
        "Q:\nwho wrote the first novel\nA: nobody",
        "Who wrote the first novels?",
    ]
    assert found_in(index, *texts, "42", "yes", "who wrote the first novel it was him") == [
        ("0", "0", "whole"), ("2", "1", "whole")
    ]  # fmt: skip
    assert index.n_short == 2


def test_reworded_copies_share_their_formula() -> None:
    """Told apart from shared words; small formulas are not looked for, and none with 0."""
    solution = "Half of them is 48/2 = 24. Together 48+24 = 72. At 3 each this is 72*3 = 216."
    copy = "In all he earns $216: 48 / 2 = 24 go first, 48 + 24 = 72 follow, and 72 × 3 = 216."
    assert found_in(index_of(solution), copy, copy.replace("24", "25")) == [("0", "0", "formula")]
    assert found_in(index_of(solution, rules=Rules(min_operations=4)), copy) == []
    assert found_in(index_of(solution, rules=Rules(min_operations=0)), copy) == []


def test_each_pair_is_told_once_and_in_order() -> None:
    """Many shared runs of a pair are one row; texts come in their order; an empty index and no texts find nothing."""
    other = " ".join(f"word{place}" for place in range(40))
    index = index_of(QUESTION, other)
    assert found_in(index, f"{other} {QUESTION}", QUESTION) == [
        ("0", "0", "ngram"),
        ("0", "1", "ngram"),
        ("1", "0", "ngram"),
    ]
    assert found_in(index) == []
    assert found_in(index_of(), QUESTION) == []


LETTERS = st.lists(st.sampled_from("abc"), max_size=40)


@given(evaluation=st.lists(LETTERS, max_size=5), training=st.lists(LETTERS, max_size=5), n=st.integers(2, 6))
def test_runs_are_those_of_plain_sets(evaluation: list[list[str]], training: list[list[str]], n: int) -> None:
    """Against n-grams in Python sets: the same training texts, each with an item that really has the run."""

    def runs(text: list[str]) -> set[str]:
        return {" ".join(text[start : start + n]) for start in range(len(text) - n + 1)}

    index = index_of(*map(" ".join, evaluation), rules=Rules(n_words=n, min_tokens=100, min_operations=0))
    frame = pl.DataFrame(
        {"id": [str(place) for place in range(len(training))], "text": [" ".join(text) for text in training]},
        schema={"id": pl.String, "text": pl.String},
    )
    found = overlaps(frame, index)
    all_runs = set().union(*map(runs, evaluation))
    expected = {str(place) for place, text in enumerate(training) if runs(text) & all_runs}
    assert set(found["id"]) == expected
    for name, item, evidence in found.select("id", "evaluation_id", "evidence").iter_rows():
        assert evidence in runs(training[int(name)]) & runs(evaluation[int(item)])


@pytest.fixture(scope="module")
def problems() -> tuple[pl.DataFrame, pl.DataFrame]:
    """GSM8K's training and test problems: (id, question, answer)."""
    if not GSM8K.exists():
        pytest.skip("shared/data is not on this machine")
    frames = []
    for split in ("train", "test"):
        with gzip.open(GSM8K / f"gsm8k_{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        frames.append(pl.DataFrame(rows).with_row_index("id").with_columns(pl.col("id").cast(pl.String)))
    return frames[0], frames[1]


def index_of_column(test: pl.DataFrame, column: str) -> EvaluationIndex:
    return EvaluationIndex.build(test.select(evaluation_set=pl.lit("gsm8k"), evaluation_id="id", text=column))


def test_training_problems_that_are_test_problems_with_other_numbers(
    problems: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    """GSM8K's own overlap, read by eye: Bella's and Max's stamps, and a train and a plane; no other question."""
    train, test = problems
    found = overlaps(train.select("id", text="question"), index_of_column(test, "question"))
    assert [train["question"][int(name)][:24] for name in found["id"]] == [
        "Bella bought stamps at t", "A train travels 270 mile", "A train travels 360 mile",
    ]  # fmt: skip
    assert {test["question"][int(name)][:24] for name in found["evaluation_id"]} == {
        "Max bought stamps at the", "A plane travels 1200 mil",
    }  # fmt: skip


def test_planted_test_problems_are_all_found(problems: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Every test question, inside other text, in capitals and with its lines broken elsewhere, is found as itself."""
    train, test = problems
    draw = random.Random(0)
    planted = [
        f"{before}\n{''.join(draw.choice([' ', chr(10)]) if letter == ' ' else letter for letter in question.upper())}"
        for before, question in zip(train["question"], test["question"], strict=False)
    ]
    found = overlaps(pl.DataFrame({"id": test["id"], "text": planted}), index_of_column(test, "question"))
    of_itself = found.filter(pl.col("id") == pl.col("evaluation_id"))
    long_enough = [len(re.findall(r"\w+", question)) >= 15 for question in test["question"]]
    assert set(test.filter(pl.Series(long_enough))["id"]) <= set(of_itself["id"])
    assert sum(long_enough) > 650


def test_reworded_solutions_are_found_by_their_formula(problems: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Test solutions with every word exchanged: those of three operations are found, and training has but one such."""
    train, test = problems
    reworded = test.select("id", text=pl.col("answer").str.replace_all(r"[A-Za-z]+", "so"))
    index = index_of_column(test, "answer")
    found = overlaps(reworded, index)
    assert set(found.filter(pl.col("id") == pl.col("evaluation_id"))["kind"]) == {"formula"}
    assert found["id"].n_unique() > 250
    by_chance = overlaps(train.select("id", text="answer"), index).filter(pl.col("kind") == "formula")
    assert by_chance.height <= 1
