"""Rows of Case2Code as tables and back. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import polars as pl

from assets.case2code.modules import Module
from assets.case2code.schema import Arguments, Cases, Function, Output, Written
from assets.core.ids import content_id

TEXTS = pl.List(pl.String)
ARGUMENTS = pl.List(pl.Struct({"name": pl.String, "value": pl.String}))
OUTPUTS = pl.List(pl.Struct({"text": pl.String, "is_error": pl.Boolean}))
MODULES = pl.Schema(
    {
        "id": pl.String,
        "package": pl.String,
        "module": pl.String,
        "is_package": pl.Boolean,
        "source": pl.String,
        "parents": TEXTS,
    }
)
FUNCTIONS = pl.Schema(
    {
        "id": pl.String,
        "package": pl.String,
        "module": pl.String,
        "name": pl.String,
        "func_name": pl.String,
        "code": pl.String,
        "self_contained": pl.Boolean,
        "parents": TEXTS,
    }
)
INPUTS = pl.Schema(
    {
        "id": pl.String,
        "parents": TEXTS,
        "function_id": pl.String,
        "calls": pl.List(ARGUMENTS),
        "preamble": pl.String,
        "truncated": pl.Boolean,
        "tries": pl.Int64,
        "completion_tokens": pl.Int64,
    }
)
CASES = pl.Schema(
    {
        "id": pl.String,
        "parents": TEXTS,
        "func_name": pl.String,
        "code": pl.String,
        "preamble": pl.String,
        "arguments": pl.List(ARGUMENTS),
        "example_inputs": TEXTS,
        "example_outputs": OUTPUTS,
    }
)
SAMPLES = pl.Schema(
    {
        "id": pl.String,
        "parents": TEXTS,
        "style": pl.String,
        "prompt": pl.String,
        "output": pl.String,
        "shown": pl.List(pl.Int64),
    }
)


def modules_frame(modules: Iterable[Module]) -> pl.DataFrame:
    return pl.DataFrame([asdict(module) for module in modules], schema=MODULES)


def modules_of(rows: pl.DataFrame) -> list[Module]:
    return [Module(**row) for row in rows.select(MODULES.names()).iter_rows(named=True)]


def functions_frame(functions: Iterable[Function]) -> pl.DataFrame:
    return pl.DataFrame([asdict(function) for function in functions], schema=FUNCTIONS)


def functions_of(rows: pl.DataFrame) -> list[Function]:
    return [Function(**row) for row in rows.select(FUNCTIONS.names()).iter_rows(named=True)]


def inputs_frame(written: Iterable[Written]) -> pl.DataFrame:
    """The inputs of functions that have any; their id is that of the function and of what was written."""
    rows = []
    for row in written:
        calls = [_named(call) for call in row.calls]
        rows.append(
            {
                "id": content_id("inputs", row.function_id, row.preamble, repr(row.calls)),
                "parents": [row.function_id],
                "function_id": row.function_id,
                "calls": calls,
                "preamble": row.preamble,
                "truncated": row.truncated,
                "tries": row.tries,
                "completion_tokens": row.completion_tokens,
            }
        )
    return pl.DataFrame(rows, schema=INPUTS)


def written_of(rows: pl.DataFrame) -> list[Written]:
    return [
        Written(row["function_id"], [_pairs(call) for call in row["calls"]], row["preamble"])
        for row in rows.iter_rows(named=True)
    ]


def cases_frame(found: Iterable[Cases]) -> pl.DataFrame:
    """Cases that ran to their end; their status is not kept."""
    rows = [
        {
            "id": cases.id,
            "parents": cases.parents,
            "func_name": cases.func_name,
            "code": cases.code,
            "preamble": cases.preamble,
            "arguments": [_named(call) for call in cases.arguments],
            "example_inputs": [_writable(text) for text in cases.example_inputs],
            "example_outputs": [{"text": _writable(o.text), "is_error": o.is_error} for o in cases.example_outputs],
        }
        for cases in found
    ]
    return pl.DataFrame(rows, schema=CASES)


def cases_of(rows: pl.DataFrame) -> list[Cases]:
    return [
        Cases(
            id=row["id"],
            func_name=row["func_name"],
            code=row["code"],
            arguments=[_pairs(call) for call in row["arguments"]],
            example_inputs=row["example_inputs"],
            example_outputs=[Output(**output) for output in row["example_outputs"]],
            status="ok",
            preamble=row["preamble"],
            parents=row["parents"],
        )
        for row in rows.select(CASES.names()).iter_rows(named=True)
    ]


def _named(call: Arguments) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in call]


def _pairs(call: list[dict[str, str]]) -> Arguments:
    return tuple((argument["name"], argument["value"]) for argument in call)


def _writable(text: str) -> str:
    """An exception's message may hold lone surrogates, which UTF-8 cannot write: they become their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
