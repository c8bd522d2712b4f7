"""Configuration of Case2Code: presets TINY (laptop) and PAPER (published values)."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import Field


class ModulesConfig(dg.Config):
    """`case2code/modules`."""

    folder: str = Field(
        "", description="Folder of Python sources; empty: the standard library of the running Python. Paper: The Stack."
    )


class FunctionsConfig(dg.Config):
    """`case2code/functions`."""

    closure: bool = Field(
        True, description="Bring along what a function needs of its module; else only those that need builtins alone."
    )
    methods: bool = Field(
        True, description="Take static methods, and methods that never touch self, as functions; our default."
    )


class WriterConfig(dg.Config):
    """`case2code/inputs`: the fuzzer writes them, unless the role `writer` is played by a model."""

    n_tuples: int = Field(150, gt=0, description="Fuzzer: type tuples drawn per function (specification's setting).")
    guidance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Fuzzer: chance that an argument's type is one its signature suggests; our default.",
    )
    n_examples: int = Field(10, gt=0, description="Model: inputs asked for (official repo: data_process.py).")
    zero_shot: bool = Field(False, description="Model: leave the worked example out (official: both exist).")
    temperature: float = Field(0.2, ge=0, description="Model (official repo: README).")
    top_p: float = Field(0.95, gt=0, le=1, description="Model (official repo: mp_run_api_local.py).")
    max_new_tokens: int = Field(2048, gt=0, description="Model (official repo: README).")
    max_retries: int = Field(3, ge=0, description="Model: further tries when nothing parses (official repo).")
    seed: int = Field(0, description="Another seed writes other inputs.")


class ExecuteConfig(dg.Config):
    """`case2code/cases`: running, and what is kept."""

    seconds: float = Field(
        5.0, gt=0, description="Wall clock per function. Official: 1 + 20 s; ours ends hangs sooner."
    )
    twice: bool = Field(
        True, description="Run again in another process and drop what answers otherwise; our default (official: once)."
    )
    drop_addresses: bool = Field(True, description="Drop functions that show an address (` at 0x`); our default.")
    sort_sets: bool = Field(True, description="Write the sets in outputs in a fixed order; our default.")
    drop_identical: bool = Field(
        True, description="Drop functions that answer every input alike (official: written, but commented out)."
    )
    min_values: int = Field(
        3, gt=0, description="Calls that return; fewer are dropped. Official: 1; ours is that of the fuzzing table."
    )
    tolerance: float = Field(1e-9, ge=0, description="Of floats when two runs are compared; our default.")
    max_cases: int = Field(
        10, ge=0, description="Cases kept of a function, those with new outputs first; 0 keeps all (official)."
    )
    max_errors: int = Field(
        1, ge=0, description="Exceptions among them; 4.3 % of the official test's cases are. Our default."
    )


class PromptsConfig(dg.Config):
    """`case2code/prompts`."""

    min_shown: int = Field(3, gt=0, description="m ~ U{3..n} cases are shown (official repo: prompt_code_data.py).")
    max_characters: int = Field(32_768, gt=0, description="Longer prompts are dropped (official repo). Characters.")
    json_quoted: bool = Field(
        False, description="Show outputs and strings as JSON strings, as the official prompts do: for parity only."
    )
    docstrings: bool = Field(
        False, description="Keep docstrings in answers (official repo: yes). Behaviour does not tell them; our default."
    )
    seed: int = Field(0, description="Another seed draws other wordings and cases.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    modules: ModulesConfig
    functions: FunctionsConfig
    writer: WriterConfig
    execute: ExecuteConfig
    prompts: PromptsConfig


TINY = Config(ModulesConfig(), FunctionsConfig(), WriterConfig(), ExecuteConfig(), PromptsConfig())
PAPER = Config(
    modules=ModulesConfig(),
    functions=FunctionsConfig(closure=False, methods=False),
    writer=WriterConfig(),
    execute=ExecuteConfig(
        seconds=21.0,
        twice=False,
        drop_addresses=False,
        sort_sets=False,
        drop_identical=False,
        min_values=1,
        max_cases=0,
    ),
    prompts=PromptsConfig(json_quoted=True, docstrings=True),
)
