"""Configuration of Case2Code: presets TINY (laptop) and PAPER (published values)."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from pydantic import Field

from assets.internlm2.config import DecoderSize

SEEDS = dg.StaticPartitionsDefinition([str(seed) for seed in range(10)])


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


class GrammarConfig(dg.Config):
    """`case2code/programs`: the generated functions. All of it is our default: the paper's functions are real."""

    n_draws: int = Field(45_000, gt=0, description="Functions drawn; those that behave alike are one program.")
    operation_weights: list[float] = Field(
        [3.0, 1.0], description="How often a function has 1, 2, 3 … operations. Three take it past 20,000 behaviours."
    )
    max_draws_per_behaviour: int = Field(
        40, gt=0, description="A behaviour drawn again is another training sample, with other cases, up to so many."
    )
    n_cases: int = Field(12, gt=1, le=18, description="Recorded inputs per function (official test: 10 to 72).")
    max_shown: int = Field(4, gt=0, description="At most so many are shown; the others stay hidden.")
    valid_share: float = Field(0.02, ge=0, lt=1, description="Share of the behaviours in the validation split.")
    test_share: float = Field(0.08, gt=0, lt=1, description="Share of the behaviours in the test split.")
    n_words: int = Field(
        13, gt=0, description="Words in a row that a training program may not share with a test program."
    )
    seed: int = Field(0, description="Another seed draws other functions.")


class CodeConfig(dg.Config):
    """`case2code/code`: what the starting checkpoint is trained on, and what is held out of it; our default."""

    heldout_share: float = Field(0.3, gt=0, lt=1, description="Share of the packages held out, by a hash of the name.")
    n_words: int = Field(
        13, gt=0, description="Words in a row that a training document may not share with a held-out text."
    )


class TokenizerConfig(dg.Config):
    """`case2code/tokenizer`: trained on programs and on prompts without text in their cases."""

    vocab_size: int = Field(
        768, ge=300, description="Tokens: sentences in few, letters and digits of cases one each; our default."
    )
    n_prompts: int = Field(6_000, gt=0, description="Training prompts that the tokenizer is trained on.")


class TrainingConfig(dg.Config):
    """What the starting checkpoint and the arms have in common; the paper's learning rate and epochs are not known."""

    peak_lr: float = Field(3e-3, gt=0, description="Peak learning rate; our default for small models.")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="Share of the steps with rising learning rate.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW (InternLM2, Table 3).")
    checkpoint_every: int = Field(200, gt=0, description="Steps between trainer states: what a kill costs at most.")


class BaseConfig(DecoderSize, TrainingConfig):
    """`case2code/base`: the decoder's size and its training on library code; our default."""

    n_kv_heads: int = Field(4, gt=0, description="Key and value heads; as many as queries, for copying constants.")
    rope_base: float = Field(10_000.0, gt=0, description="RoPE base: prompts are short; our default.")
    max_length: int = Field(768, gt=0, description="Context: a solved problem, a problem and the answer. Tokens.")
    tokens: int = Field(400_000, gt=0, description="Tokens of library code.")
    sequence_length: int = Field(512, gt=1, description="Tokens per row; longer documents are cut into pieces.")
    batch_rows: int = Field(4, gt=0, description="Rows per step.")


class LearnConfig(TrainingConfig):
    """`case2code/checkpoint/<arm>`."""

    tokens: int = Field(
        4_200_000, gt=0, description="Tokens of every arm, prompts and padding included; below 3 M no arm learns."
    )
    sequence_length: int = Field(256, gt=1, description="Tokens per row; longer samples are dropped, and counted.")
    batch_rows: int = Field(8, gt=0, description="Rows per step; our default.")
    trains_prompts: bool = Field(
        True,
        description="Put prompts in the loss too, as in pre-training: to predict an output from the cases before it is "
        "itself induction, and a model this small learns none without.",
    )


class EvaluateConfig(dg.Config):
    """`case2code/grades/<arm>`."""

    n_problems: int = Field(200, gt=0, description="Test problems, evenly over the numbers of operations.")
    n_samples: int = Field(1, ge=1, description="Samples per problem, for pass@k (official: 1).")
    temperature: float = Field(0.0, ge=0, description="0 is greedy (official repo: mp_test_case2code_with_exe.py).")
    top_p: float = Field(1.0, gt=0, le=1, description="Of sampling; no matter when greedy.")
    max_new_tokens: int = Field(64, gt=0, description="The longest answer of the grammar has fewer; our default.")
    n_shots: int = Field(1, ge=0, description="Solved examples in the prompts of arms that saw no cases; our default.")
    hint: bool = Field(
        False, description="Say how the function will be called, as the official evaluation does for chat models."
    )
    seconds: float = Field(10.0, gt=0, description="Wall clock per program (official repo: 10 s).")
    tolerance: float | None = Field(
        None, description="Floats may differ by this and sets have any order; none compares texts (official)."
    )
    seed: int = Field(0, description="Of the prompts' wording and of sampling.")


@dataclass(frozen=True)
class Config:
    """All sections, for a preset."""

    modules: ModulesConfig
    functions: FunctionsConfig
    writer: WriterConfig
    execute: ExecuteConfig
    prompts: PromptsConfig
    grammar: GrammarConfig
    code: CodeConfig
    tokenizer: TokenizerConfig
    base: BaseConfig
    learn: LearnConfig
    evaluate: EvaluateConfig


TINY = Config(
    ModulesConfig(),
    FunctionsConfig(),
    WriterConfig(),
    ExecuteConfig(),
    PromptsConfig(),
    GrammarConfig(),
    CodeConfig(),
    TokenizerConfig(),
    BaseConfig(),
    LearnConfig(),
    EvaluateConfig(),
)
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
    # Neither the paper nor its code gives sizes or settings of training: only how the authors evaluate is known.
    grammar=GrammarConfig(),
    code=CodeConfig(),
    tokenizer=TokenizerConfig(),
    base=BaseConfig(max_length=4096),
    learn=LearnConfig(),
    evaluate=EvaluateConfig(max_new_tokens=2048, hint=True),
)
