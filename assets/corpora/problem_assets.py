"""Assets of the problems: the user's question sets, and one set that everything downstream reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from assets.core.errors import InputError
from assets.core.lake import Dataset, DatasetWriter
from assets.core.problems import EVALUATION, SPLITS, counts, problems_frame
from assets.core.progress import track
from assets.core.recipe import CHEAP, Input, recipe
from assets.corpora.config import ProblemsConfig, QuestionsConfig
from assets.corpora.files import FileSource
from assets.corpora.files import inventory as files_inventory
from assets.corpora.questions import Layout, Unusable, problem, recognise, same_question, split_for
from assets.corpora.records import RecordSource, read_records
from assets.corpora.schema import Reject


def question_files(config: QuestionsConfig) -> Mapping[str, Any]:
    """Names and digests of the user's files."""
    source = FileSource(config.path, split=config.hub_split, revision=config.revision or None)
    return {"files": files_inventory(source)} if config.path else {}


@recipe(
    "corpora/questions",
    external=question_files,
    checks=("no_evaluation_problem_in_training",),
    tags={"stage": "input"},
)
def questions(out: DatasetWriter, config: QuestionsConfig) -> None:
    """The user's own problems with known answers, such as GSM8K or MATH; empty unless a path is given."""
    rows: list[dict[str, Any]] = []
    first = None
    for found in track(_read(config) if config.path else iter(()), label=config.path or "no questions", unit=" rows"):
        out.ledger.rows_in += 1
        if isinstance(found, Reject):
            first = first or found
            out.dead_letter(file=found.file, line=found.line, reason=found.reason, detail=found.detail)
        else:
            rows.append(found)
    if config.path and not rows:
        why = f"{first.file}, row {first.line}: {first.reason} ({first.detail})" if first else "there are no rows"
        raise InputError(f"{config.path}: no row is a problem; {why}", "mend the file, or name its fields")
    kept, dropped = _without_repetitions(rows)
    for reason, number in dropped.items():
        out.ledger.drop(reason, number)
    problems = problems_frame(kept)
    out.write(problems)
    by_split = {split: {same_question(row["question"]) for row in kept if row["split"] == split} for split in SPLITS}
    seen = set().union(*(by_split[split] for split in SPLITS if split not in EVALUATION))
    shared = seen & set().union(*(by_split[split] for split in EVALUATION))
    out.check("no_evaluation_problem_in_training", not shared, questions=len(shared))
    out.describe(
        problems={split: len(found) for split, found in by_split.items()}, difficulty=counts(problems, "difficulty")
    )


def _read(config: QuestionsConfig) -> Iterator[dict[str, Any] | Reject]:
    """The problem of each row, or why it is none."""
    shares = _shares(config)
    given = _layout(config) if config.question_field else None
    source = RecordSource(
        config.path, config.hub_split, config.hub_subset or None, config.revision or None, config.max_row_bytes
    )
    for record in read_records(source):
        if isinstance(record, Reject):
            yield record
            continue
        try:
            row = problem(record.values, given or recognise(record.values))
        except Unusable as error:
            yield Reject(record.file, record.line, error.reason, str(error))
            continue
        yield row | {"split": split_for(row, record.name if config.split_by == "name" else "", shares)}


def _layout(config: QuestionsConfig) -> Layout:
    return Layout(
        (config.question_field,),
        config.answer_field,
        config.solution_field,
        (config.skill_field,) if config.skill_field else (),
        config.difficulty_field,
    )


def _shares(config: QuestionsConfig) -> dict[str, float]:
    given = {
        "rl": config.share_rl,
        "search": config.share_search,
        "valid": config.share_valid,
        "test": config.share_test,
    }
    if sum(given.values()) > 1:
        raise InputError("the shares of rl, search, valid and test are above 1", "lower them: sft has what is left")
    return {"sft": 1 - sum(given.values()), **given}


def _without_repetitions(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Each question once, in the order of the rows; the evaluation's copy stays."""
    evaluated = {same_question(row["question"]) for row in rows if row["split"] in EVALUATION}
    seen: set[str] = set()
    kept, dropped = [], Counter[str]()
    for row in rows:
        question = same_question(row["question"])
        if row["split"] not in EVALUATION and question in evaluated:
            dropped["repeats_evaluation_question"] += 1
        elif question in seen:
            dropped["duplicate"] += 1
        else:
            seen.add(question)
            kept.append(row)
    return kept, dropped


@recipe(
    "corpora/problems",
    inputs={"questions": Input("corpora/questions"), "chain_arith": Input("worlds/chain_arith")},
    tags={"stage": "input"},
    automation=CHEAP,
)
def problems(out: DatasetWriter, config: ProblemsConfig, questions: Dataset, chain_arith: Dataset) -> None:
    """The problems that policies learn from and are measured on: the user's where there are any, else ChainArith's."""
    wanted = config.source
    if wanted == "auto":
        wanted = "questions" if questions.rows else "chain_arith"
    chosen = {"questions": questions, "chain_arith": chain_arith}[wanted]
    for batch in chosen.batches():
        out.ledger.rows_in += batch.height
        out.write(batch)
    # A step checker needs to know by which rule ChainArith's solutions were made.
    rule = chosen.manifest.metadata.get("rule")
    out.describe(source=wanted, **({"rule": rule} if rule else {}))
