"""Assets of Case2Code's data: from modules over functions, inputs and cases to prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

from assets.case2code.arms import STYLE_OF
from assets.case2code.collect import collect
from assets.case2code.config import ExecuteConfig, FunctionsConfig, ModulesConfig, PromptsConfig, WriterConfig
from assets.case2code.execute import Executed, execute
from assets.case2code.filter import choose_cases, drop_reason, with_sorted_sets
from assets.case2code.functions import without_docstrings
from assets.case2code.fuzz import fuzz_function
from assets.case2code.modules import Module, read_modules
from assets.case2code.render import STYLES, render_sample
from assets.case2code.rows import (
    SAMPLES,
    cases_frame,
    cases_of,
    functions_frame,
    functions_of,
    inputs_frame,
    modules_frame,
    modules_of,
    written_of,
)
from assets.case2code.schema import Cases, Function, Written
from assets.case2code.writer import write_inputs, writer_request
from assets.core.generation.estimate import estimate
from assets.core.generation.responder import Responder
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import LOGGER, track
from assets.core.recipe import Input, recipe
from assets.core.sandbox.resource import SandboxResource
from assets.corpora.python_library import inventory
from models.inference.engine import Sampling

BATCH_FUNCTIONS = 2_000
FUNCTIONS = Input("case2code/functions")


def folder_of(config: ModulesConfig) -> Path | None:
    return Path(config.folder) if config.folder else None


def module_files(config: ModulesConfig) -> Mapping[str, Any]:
    """Python's version and the digest of every source file."""
    return asdict(inventory(folder_of(config)))


@recipe("case2code/modules", external=module_files, tags={"stage": "input"})
def modules(out: DatasetWriter, config: ModulesConfig) -> None:
    """Python source files, whole: the standard library, or a folder of one's own."""
    kept: list[Module] = []
    for row in read_modules(folder_of(config)):
        out.ledger.rows_in += 1
        if isinstance(row, Module):
            kept.append(row)
        else:
            out.dead_letter(file=row.file, line=row.line, reason=row.reason, detail=row.detail)
    out.write(modules_frame(kept))


@recipe("case2code/functions", inputs={"modules": Input("case2code/modules")}, tags={"stage": "collect"})
def functions(out: DatasetWriter, config: FunctionsConfig, modules: Dataset) -> None:
    """Functions that run on their own, each with what it needs of its module; the others are counted by reason."""
    kept: list[Function] = []
    sources = (module for rows in batches(modules) for module in modules_of(rows))
    for row in collect(sources, closure=config.closure, methods=config.methods, docstrings=True):
        out.ledger.rows_in += 1
        if isinstance(row, Function):
            kept.append(row)
        elif row.reason == "not_python":
            out.dead_letter(file=row.module, line=None, reason=row.reason, detail=row.detail)
        else:
            out.ledger.drop(row.reason)
    out.write(functions_frame(kept))
    out.describe(
        self_contained=sum(function.self_contained for function in kept),
        methods=sum("." in function.name for function in kept),
        packages=len({function.package for function in kept}),
    )


@recipe("case2code/inputs", inputs={"functions": FUNCTIONS}, roles=("writer",), tags={"stage": "write"})
def inputs(out: DatasetWriter, config: WriterConfig, functions: Dataset, writer: Responder) -> None:
    """Example inputs of each function, by the model that plays the writer, or by the typed fuzzer (rules)."""
    n_calls, tries = 0, Counter[int]()
    sampling = Sampling(config.max_new_tokens, config.temperature, config.top_p)
    if not writer.is_rules:
        codes = (row[0] for rows in batches(functions) for row in rows.select("code").iter_rows())
        writer.expected = estimate(
            writer.engine,
            (writer_request(code, sampling, config.n_examples, config.zero_shot, config.seed) for code in codes),
        )
        LOGGER.info("       case2code/inputs writer: %s", writer.expected)
    for rows in batches(functions):
        found = functions_of(rows)
        out.ledger.rows_in += len(found)
        by_id = {written.function_id: written for written in _written(config, found, writer, sampling)}
        usable = [by_id[function.id] for function in found if by_id[function.id].problem is None]
        out.write(inputs_frame(usable))
        n_calls += sum(len(written.calls) for written in usable)
        tries.update(written.tries for written in usable)
        for function in found:
            problem = by_id[function.id].problem
            if problem is not None:
                place = f"{function.module}.{function.name}"
                out.dead_letter(file=place, line=None, reason=problem.partition(":")[0], detail=problem)
    out.describe(
        writer="fuzzer" if writer.is_rules else writer.binding.model,
        size=writer.binding.size,
        calls=n_calls,
        tries={str(n): count for n, count in sorted(tries.items())},
    )


def _written(
    config: WriterConfig, functions: list[Function], writer: Responder, sampling: Sampling
) -> Iterator[Written]:
    if writer.is_rules:
        for function in track(functions, label="case2code/inputs", total=len(functions), unit=" functions"):
            yield fuzz_function(function, config.n_tuples, config.guidance, config.seed)
        return
    yield from write_inputs(
        writer, functions, sampling=sampling, n_examples=config.n_examples, zero_shot=config.zero_shot,
        max_retries=config.max_retries, seed=config.seed,
    )  # fmt: skip


@recipe(
    "case2code/cases",
    inputs={"functions": FUNCTIONS, "inputs": Input("case2code/inputs")},
    resources=("sandbox",),
    checks=("every_function_returns", "inputs_and_outputs_in_step"),
    kinds={"bubblewrap"},
    tags={"stage": "execute"},
)
def cases(
    out: DatasetWriter, config: ExecuteConfig, functions: Dataset, inputs: Dataset, sandbox: SandboxResource
) -> None:
    """What each function answered to its inputs, executed in the sandbox; functions that teach nothing are dropped."""
    known = {function.id: function for function in functions_of(functions.read())}
    places = functions.read("id", "package", "module", "name").rename({"id": "function_id"})
    silent = uneven = n_sorted = 0
    with sandbox.open() as runner:
        for rows in batches(inputs):
            out.ledger.rows_in += rows.height
            jobs = [(known[written.function_id], written) for written in written_of(rows)]
            ran = execute(runner, jobs, sandbox.limits(config.seconds), twice=config.twice)
            tracked = track(ran, label="case2code/cases", total=len(jobs), unit=" functions")
            by_function = {executed.cases.parents[0]: executed for executed in tracked}
            kept = []
            for function, _ in jobs:
                found = _kept(out, function, by_function[function.id], config)
                if found is not None:
                    kept.append(found[0])
                    n_sorted += found[1]
            silent += sum(all(output.is_error for output in case.example_outputs) for case in kept)
            uneven += sum(len(case.arguments) != len(case.example_outputs) for case in kept)
            frame = cases_frame(kept).with_columns(function_id=pl.col("parents").list.first())
            named = frame.join(places, on="function_id", how="left", maintain_order="left", validate="m:1")
            out.write(named.drop("function_id"))
    out.check("every_function_returns", not silent, functions_without_a_value=silent)
    out.check("inputs_and_outputs_in_step", not uneven, functions=uneven)
    out.describe(outputs_with_sorted_sets=n_sorted)


def _kept(
    out: DatasetWriter, function: Function, executed: Executed, config: ExecuteConfig
) -> tuple[Cases, int] | None:
    """The cases to keep and how many outputs had their sets sorted; None where they are dropped or failed."""
    found = executed.cases
    if found.status == "infrastructure":
        out.dead_letter(
            file=f"{function.module}.{function.name}", line=None, reason="infrastructure", detail=found.detail
        )
        return None
    reason = drop_reason(
        found, again=executed.again, drop_addresses=config.drop_addresses, drop_identical=config.drop_identical,
        min_values=config.min_values, tolerance=config.tolerance,
    )  # fmt: skip
    if reason is not None:
        out.ledger.drop(reason)
        return None
    chosen, n_sorted = with_sorted_sets(found) if config.sort_sets else (found, 0)
    return choose_cases(chosen, config.max_cases, config.max_errors) if config.max_cases else chosen, n_sorted


@recipe("case2code/prompts", inputs={"cases": Input("case2code/cases")}, tags={"stage": "prompt"})
def prompts(out: DatasetWriter, config: PromptsConfig, cases: Dataset) -> None:
    """Training samples: each function as a prompt of the forms `single` and `diverse`, and the function as answer."""
    for style in sorted(set(STYLE_OF.values())):
        for rows in batches(cases):
            out.ledger.rows_in += rows.height
            samples = []
            for case in cases_of(rows):
                if not config.docstrings:
                    case = replace(case, code=without_docstrings(case.code))
                sample = render_sample(
                    case, STYLES[style], Random(f"{config.seed}:{case.id}"), min_shown=config.min_shown,
                    max_characters=config.max_characters, json_quoted=config.json_quoted,
                )  # fmt: skip
                if sample is None:
                    out.ledger.drop("prompt_too_long")
                    continue
                name = content_id("prompt", style, case.id, sample.prompt)
                samples.append({"id": name, "parents": [case.id], "style": style, **asdict(sample)})
            out.write(pl.DataFrame(samples, schema=SAMPLES), part=style)


def batches(dataset: Dataset) -> Iterator[pl.DataFrame]:
    """The rows, a few at a time: memory does not grow with the dataset."""
    for shard in dataset.batches():
        # An empty shard has columns: what is made of it must have some too.
        yield from shard.iter_slices(BATCH_FUNCTIONS) if shard.height else [shard]
