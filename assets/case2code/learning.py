"""Assets that Case2Code learns from: programs of the grammar, library code, and the tokenizer of both."""

from __future__ import annotations

from dataclasses import asdict

import polars as pl

from assets.case2code.arms import (
    STYLE_OF,
    TRAINED_ARMS,
    question,
    tokenizer_text,
)
from assets.case2code.config import SEEDS, CodeConfig, GrammarConfig, TokenizerConfig
from assets.case2code.decontaminate import contaminated, grams_of_test
from assets.case2code.execute import make_outputs
from assets.case2code.pretrain import is_heldout
from assets.case2code.programs import Program, draw_programs
from assets.case2code.render import Sample
from assets.case2code.rows import SAMPLES, cases_frame, cases_of
from assets.case2code.schema import Cases, examples_source
from assets.core.errors import InputError
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import Input, recipe
from assets.core.sandbox.program import Calls
from assets.core.sandbox.program import Program as SandboxProgram
from assets.core.sandbox.resource import SandboxResource
from assets.internlm2.tokenizer import publish_tokenizer, train_tokenizer

EXECUTED = 200


@recipe(
    "case2code/programs",
    resources=("sandbox",),
    checks=("every_program_returns", "no_test_behaviour_in_training", "sandbox_agrees"),
    tags={"stage": "generate"},
)
def programs(out: DatasetWriter, config: GrammarConfig, sandbox: SandboxResource) -> None:
    """Mini-functions of the grammar with their cases, split by behaviour. Those that repeat a test program's text are
    dropped."""
    kept: list[Program] = []
    drawn = draw_programs(
        config.n_draws, config.operation_weights, max_draws_per_behaviour=config.max_draws_per_behaviour,
        n_cases=config.n_cases, valid_share=config.valid_share, test_share=config.test_share, seed=config.seed,
    )  # fmt: skip
    for row in track(drawn, label="case2code/programs", total=config.n_draws, unit=" draws"):
        out.ledger.rows_in += 1
        if isinstance(row, Program):
            kept.append(row)
        else:
            out.ledger.drop(row)
    kept = _clean(out, kept, config.n_words)
    out.write(
        cases_frame([program.cases for program in kept]).with_columns(
            split=pl.Series([program.split for program in kept], dtype=pl.String),
            behaviour=pl.Series([program.behaviour for program in kept], dtype=pl.String),
            n_operations=pl.Series([program.n_operations for program in kept], dtype=pl.Int64),
            # Part of the content: what a prompt may show decides what is hidden, in training and test alike.
            max_shown=pl.lit(config.max_shown, dtype=pl.Int64),
        )
    )
    behaviours = {split: {p.behaviour for p in kept if p.split == split} for split in ("train", "valid", "test")}
    if not behaviours["train"] or not behaviours["test"]:
        raise InputError("there are no training or no test programs", "raise n_draws of case2code/programs")
    silent = sum(all(output.is_error for output in program.cases.example_outputs) for program in kept)
    shared = behaviours["train"] & behaviours["test"]
    out.check("every_program_returns", not silent, programs_without_a_value=silent)
    out.check("no_test_behaviour_in_training", not shared, behaviours_in_both=len(shared))
    executed, wrong = _disagreements(sandbox, [program.cases for program in kept[:: max(1, len(kept) // EXECUTED)]])
    out.check("sandbox_agrees", not wrong, executed=executed, disagreements=wrong[:5])
    out.describe(behaviours={split: len(found) for split, found in behaviours.items()})


def _clean(out: DatasetWriter, drawn: list[Program], n_words: int) -> list[Program]:
    """Without the training programs whose text is that of a test program, or shares many words with one."""
    grams = grams_of_test([program.cases.code for program in drawn if program.split == "test"], n=n_words)
    found = contaminated([program.cases.code for program in drawn], grams, n_words)
    kept = []
    for program, gram in zip(drawn, found, strict=True):
        if program.split != "test" and gram is not None:
            out.ledger.drop("repeats_test_text")
        else:
            kept.append(program)
    return kept


def _disagreements(sandbox: SandboxResource, sample: list[Cases]) -> tuple[int, list[str]]:
    """How many programs the sandbox ran, and those that answered otherwise there than was recorded."""
    programs = (
        SandboxProgram(case.code, Calls(case.func_name, examples=f"{examples_source(case.arguments)}\n"))
        for case in sample
    )
    with sandbox.open() as runner:
        ran = [
            (sample[place], outcome) for place, outcome in runner.run(programs) if outcome.status != "infrastructure"
        ]
    return len(ran), [case.code for case, outcome in ran if make_outputs(outcome) != case.example_outputs]


@recipe(
    "case2code/code",
    inputs={"library": Input("corpora/python_library"), "cases": Input("case2code/cases")},
    checks=("no_heldout_package_in_training",),
    tags={"stage": "clean"},
)
def code(out: DatasetWriter, config: CodeConfig, library: Dataset, cases: Dataset) -> None:
    """Functions and classes of the library for the starting checkpoint, and those of the packages that are held out of
    it: on these, and on their executed functions, transfer is measured."""
    rows = library.read()
    out.ledger.rows_in = rows.height
    out.ledger.drop("prose", int((rows["kind"] != "code").sum()))
    rows = rows.filter(pl.col("kind") == "code").with_columns(
        split=pl.col("package").map_elements(
            lambda package: "heldout" if is_heldout(package, config.heldout_share) else "train", return_dtype=pl.String
        )
    )
    heldout, training = (rows.filter(pl.col("split") == split) for split in ("heldout", "train"))
    executed = [row["code"] for row in cases.read("package", "code").iter_rows(named=True)
                if is_heldout(row["package"], config.heldout_share)]  # fmt: skip
    grams = grams_of_test([*heldout["text"], *executed], n=config.n_words)
    clean = pl.Series(
        [gram is None for gram in contaminated(training["text"], grams, config.n_words)], dtype=pl.Boolean
    )
    out.ledger.drop("repeats_heldout_text", int((~clean).sum()))
    kept = pl.concat([heldout, training.filter(clean)])
    out.write(
        kept.select(
            pl.Series("id", [content_id("code", document) for document in kept["id"]], dtype=pl.String),
            pl.concat_list("id").alias("parents"),
            "split", "package", "module", "name", "text", "n_bytes",
        )
    )  # fmt: skip
    packages = {split: set(kept.filter(pl.col("split") == split)["package"]) for split in ("heldout", "train")}
    out.check("no_heldout_package_in_training", not packages["heldout"] & packages["train"])
    out.describe(packages={split: len(found) for split, found in packages.items()})


@recipe(
    "case2code/tokenizer",
    inputs={"programs": Input("case2code/programs")},
    kind="checkpoint",
    ledger=False,
    checks=("bytes_survive",),
    tags={"stage": "tokenizer"},
)
def tokenizer(out: DatasetWriter, config: TokenizerConfig, programs: Dataset) -> None:
    """Byte-level BPE of training programs and prompts without their quoted words, so that letters stay apart."""
    rows = programs.read().filter(pl.col("split") == "train")
    max_shown = int(rows["max_shown"][0])
    samples = (question(case, "diverse", 0, max_shown=max_shown) for case in cases_of(rows.head(config.n_prompts)))
    prompts = [f"{sample.prompt}\n{sample.output}" for sample in samples if sample is not None]
    texts = map(tokenizer_text, [*rows["code"], *prompts])
    trained = train_tokenizer(texts, vocab_size=config.vocab_size, min_frequency=2)
    publish_tokenizer(out, trained)
    out.describe(programs=rows.height, prompts=len(prompts))


@recipe(
    "case2code/samples",
    inputs={"programs": Input("case2code/programs")},
    partitions=SEEDS,
    tags={"stage": "prompt"},
)
def samples(out: DatasetWriter, programs: Dataset, partition: str) -> None:
    """The training programs as each arm reads them, one part each: as plain code, or behind a prompt that shows some of
    their cases. What is shown, and in which words, is drawn anew for every seed."""
    rows = programs.read().filter(pl.col("split") == "train")
    max_shown = int(rows["max_shown"][0])
    cases = cases_of(rows)
    for arm in TRAINED_ARMS:
        out.ledger.rows_in += len(cases)
        found = []
        for case in track(cases, label=f"case2code/samples: {arm}", total=len(cases), unit=" programs"):
            drawn: Sample | None = Sample("", case.code, [])
            if arm in STYLE_OF:
                drawn = question(case, STYLE_OF[arm], int(partition), max_shown=max_shown)
            if drawn is None:
                out.ledger.drop("prompt_too_long")
                continue
            name = content_id("sample", arm, partition, case.id)
            found.append({"id": name, "parents": [case.id], "style": arm, **asdict(drawn)})
        out.write(pl.DataFrame(found, schema=SAMPLES), part=arm)
