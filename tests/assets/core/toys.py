"""A small graph of recipes. Each notes in `CALLED` that it ran."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import polars as pl

from assets.core.errors import InputError
from assets.core.lake import Dataset, DatasetWriter
from assets.core.recipe import Input, recipe

CALLED: list[str] = []
SEEDS = dg.StaticPartitionsDefinition(["0", "1", "2"])
FACTOR = 2


class SourceConfig(dg.Config):
    path: str
    shortest: int = 0


class NameConfig(dg.Config):
    name: str = "a"


class Engine(dg.ConfigurableResource):  # type: ignore[type-arg]
    """An engine whose model determines answers and whose batch size does not."""

    model: str = "small"
    batch: int = 1

    def identity(self) -> dict[str, object]:
        return {"model": self.model}


def numbers(rows: list[int], **more: object) -> pl.DataFrame:
    return pl.DataFrame({"id": [str(row) for row in rows], "number": pl.Series(rows, dtype=pl.Int64)}).with_columns(
        **{name: pl.lit(value) for name, value in more.items()}
    )


def file_digest(config: SourceConfig) -> Mapping[str, object]:
    return {config.path: hashlib.sha256(Path(config.path).read_bytes()).hexdigest()}


@recipe("toy/source", external=file_digest)
def source(out: DatasetWriter, config: SourceConfig) -> None:
    """Numbers of a file, in ascending order."""
    CALLED.append("source")
    for line in sorted(Path(config.path).read_text().split(), key=len):
        out.ledger.rows_in += 1
        if not line.isdigit():
            out.dead_letter(file=config.path, line=None, reason="no_number", detail=line)
        elif int(line) < config.shortest:
            out.ledger.drop("short")
        else:
            out.write(numbers([int(line)]))
    out.plot("sizes", b"\x89PNG")
    out.describe(mean=1.5, shape={"rows": 1})


@recipe("toy/doubled", inputs={"rows": Input("toy/source")})
def doubled(out: DatasetWriter, rows: Dataset) -> None:
    CALLED.append("doubled")
    found = rows.read()["number"].to_list()
    out.ledger.rows_in = len(found)
    out.write(numbers([FACTOR * number for number in found]))


@recipe("toy/plan", inputs={"rows": Input("toy/source")}, ledger=False)
def plan(out: DatasetWriter, rows: Dataset) -> None:
    CALLED.append("plan")
    found = rows.read()["number"].to_list()
    out.write(numbers([number for number in found if number % 2]), part="odd")
    out.write(numbers([number for number in found if not number % 2]), part="even")


def count(out: DatasetWriter, rows: Dataset) -> None:
    CALLED.append(f"count {rows.part}")
    out.write(numbers([rows.rows]))


odd = recipe("toy/odd", inputs={"rows": Input("toy/plan", part="odd")}, ledger=False)(count)
even = recipe("toy/even", inputs={"rows": Input("toy/plan", part="even")}, ledger=False)(count)


misspelt = recipe("toy/misspelt", inputs={"rows": Input("toy/plan", part="od")}, ledger=False)(count)


@recipe("toy/seeded", inputs={"rows": Input("toy/source")}, partitions=SEEDS, ledger=False)
def seeded(out: DatasetWriter, rows: Dataset, partition: str) -> None:
    CALLED.append(f"seeded {partition}")
    out.write(numbers([rows.rows], seed=partition))


@recipe("toy/followed", inputs={"row": Input("toy/seeded")}, partitions=SEEDS, ledger=False)
def followed(out: DatasetWriter, row: Dataset, partition: str) -> None:
    CALLED.append(f"followed {partition}")
    assert row.read()["seed"].to_list() == [partition]
    out.write(row.read())


@recipe("toy/united", inputs={"seeds": Input("toy/seeded", all_partitions=True)}, ledger=False)
def united(out: DatasetWriter, seeds: dict[str, Dataset]) -> None:
    CALLED.append("united " + ",".join(sorted(seeds)))
    out.write(pl.concat([dataset.read() for _, dataset in sorted(seeds.items())]))


@recipe("toy/tokenizer", kind="checkpoint", ledger=False)
def tokenizer(out: DatasetWriter, config: NameConfig) -> None:
    CALLED.append("tokenizer")
    (out.folder / "tokenizer.json").write_text(config.name.lower())


@recipe("toy/tokens", inputs={"tokenizer": Input("toy/tokenizer")}, ledger=False)
def tokens(out: DatasetWriter, tokenizer: Dataset) -> None:
    CALLED.append("tokens")
    out.write(numbers([1], text=(tokenizer.folder / "tokenizer.json").read_text()))


@recipe("toy/answers", resources=("engine",), ledger=False)
def answers(out: DatasetWriter, engine: Engine) -> None:
    CALLED.append("answers")
    out.write(numbers([1], model=engine.model))


@recipe("toy/judged", checks=("is_good", "is_finite"), ledger=False)
def judged(out: DatasetWriter, config: NameConfig) -> None:
    CALLED.append("judged")
    out.write(numbers([1], name=config.name))
    out.check("is_good", config.name != "bad", name=config.name)
    if config.name != "forgetful":
        out.check("is_finite", True)


@recipe("toy/after", inputs={"rows": Input("toy/judged")}, ledger=False)
def after(out: DatasetWriter, rows: Dataset) -> None:
    CALLED.append("after")
    out.write(rows.read())


@recipe("toy/failing", ledger=False)
def failing(out: DatasetWriter, config: NameConfig) -> None:
    CALLED.append("failing")
    if config.name == "input":
        raise InputError("rows.jsonl: line 3 is cut off", "download it again")
    if config.name == "disk":
        (out.folder / "big").write_bytes(b"x" * 1_000_000)
        out.write(numbers(list(range(200_000))))
    if config.name == "bug":
        raise ZeroDivisionError("a bug")
    out.write(numbers([1]))
