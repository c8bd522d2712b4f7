"""The table of the texts that models are evaluated on, and the checks of the corpora against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from assets.core.decontamination.check import EVALUATION_SETS, EVALUATION_TEXTS, no_evaluation_text
from assets.core.decontamination.texts import TextSource
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.problems import EVALUATION, TRAINING
from assets.core.recipe import CHEAP, Input, recipe
from assets.corpora.evaluation.config import EvaluationSetsConfig
from assets.corpora.files import FileSource
from assets.corpora.files import inventory as files_inventory
from assets.corpora.records import Record, RecordSource, read_records
from assets.corpora.schema import Reject

# Not `corpora/problems`, which unites the two: a check of it reads this table, so the table cannot read it.
QUESTIONS = TextSource("corpora/questions", ("question", "gold_solution"), {"split": EVALUATION})
CHAIN_ARITH = TextSource("worlds/chain_arith", ("question", "gold_solution"), {"split": EVALUATION})


def evaluation_files(config: EvaluationSetsConfig) -> Mapping[str, Any]:
    """Names and digests of the user's files."""
    return {"files": files_inventory(FileSource(config.path))} if config.path else {}


@recipe(
    EVALUATION_SETS,
    inputs={"questions": Input(QUESTIONS.key), "chain_arith": Input(CHAIN_ARITH.key)},
    external=evaluation_files,
    tags={"stage": "input"},
    automation=CHEAP,
)
def evaluation_sets(out: DatasetWriter, config: EvaluationSetsConfig, questions: Dataset, chain_arith: Dataset) -> None:
    """Every text that a model is evaluated on, a row each: validation and test problems, and the user's own sets."""
    out.write(pl.DataFrame(schema=EVALUATION_TEXTS))
    for source, dataset in ((QUESTIONS, questions), (CHAIN_ARITH, chain_arith)):
        for batch in dataset.batches(*source.read_columns()):
            texts = source.texts(batch)
            out.ledger.rows_in += batch.height * len(source.columns)
            out.ledger.drop("no_evaluation_text", batch.height * len(source.columns) - texts.height)
            _write(out, source.key, texts.iter_rows())
    if config.path:
        _write_files(out, config)


def _write_files(out: DatasetWriter, config: EvaluationSetsConfig) -> None:
    """The user's rows: a set for each file, an item for each row."""
    found = 0
    for record in read_records(RecordSource(config.path, max_row_bytes=config.max_row_bytes)):
        if isinstance(record, Reject):
            out.ledger.rows_in += 1
            out.dead_letter(file=record.file, line=record.line, reason=record.reason, detail=record.detail)
            continue
        texts = list(_texts(record, config.text_fields))
        out.ledger.rows_in += max(1, len(texts))
        if not texts:
            out.ledger.drop("no_text")
        _write(out, record.name, ((f"{record.name}:{record.line}", text) for text in texts))
        found += len(texts)
    if not found:
        raise InputError(f"{config.path}: no row holds a text", "set text_fields to the fields that hold text")


def _texts(record: Record, fields: list[str]) -> Iterator[str]:
    wanted = fields or list(record.values)
    found = (record.values.get(name) for name in wanted)
    return (text for text in found if isinstance(text, str) and text.strip())


def _write(out: DatasetWriter, name: str, texts: Iterable[tuple[str, str]]) -> None:
    rows = [
        {
            "id": content_id("evaluation", name, item, text), "parents": [item], "evaluation_set": name,
            "evaluation_id": item, "text": text,
        }
        for item, text in texts
    ]  # fmt: skip
    out.write(pl.DataFrame(rows, schema=EVALUATION_TEXTS))


# Of ChainArith's solutions a few share 13 one-digit numbers with another by chance (13 of 24,400), and 0.3 % of GSM8K's
# test questions are training questions with other names and numbers: questions are compared, and 1 % may be found.
# Equal questions are kept apart by `corpora/questions` and `worlds/chain_arith` themselves.
problems_hold_no_evaluation_text = no_evaluation_text(
    TextSource("corpora/problems", ("question",), {"split": TRAINING}), tolerated_share=0.01
)
clean_documents_hold_no_evaluation_text = no_evaluation_text(TextSource("corpora/clean_documents", ("text",)))
