"""A recipe with a role."""

from __future__ import annotations

import dagster as dg
import polars as pl

from assets.core.generation.responder import Responder
from assets.core.generation.rows import Row, ask_rows
from assets.core.lake import DatasetWriter
from assets.core.recipe import recipe
from models.inference.engine import Message, Request, Sampling

SCHEMA = {"id": pl.String, "text": pl.String}


class QuestionConfig(dg.Config):
    questions: int = 5


def ask(row: Row) -> Request:
    return Request((Message("user", f"question {row['id']}"),), Sampling(max_new_tokens=8))


@recipe("toy/answers", roles=("responder",))
def answers(out: DatasetWriter, config: QuestionConfig, responder: Responder) -> None:
    """A question for each number, and its answer: by rule the number itself."""
    rows: list[Row] = [{"id": str(number)} for number in range(config.questions)]
    out.write(pl.DataFrame(schema=SCHEMA))
    if responder.is_rules:
        out.ledger.rows_in = len(rows)
        out.write(pl.DataFrame([{"id": row["id"], "text": row["id"]} for row in rows], schema=SCHEMA))
        return
    for batch in ask_rows(rows, ask, responder, out):
        records = [{"id": row["id"], "text": answer.samples[0].text} for row, answer in batch]
        out.write(pl.DataFrame(records, schema=SCHEMA))


@recipe("toy/plain", ledger=False)
def plain(out: DatasetWriter) -> None:
    """No role."""
    out.write(pl.DataFrame({"id": ["0"]}))
