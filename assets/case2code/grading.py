"""Assets of Case2Code's evaluation: what each checkpoint answers, executed, and the claims that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from assets.case2code import plots
from assets.case2code.arms import ARMS, TRAINED_ARMS, Arm, sampling_of
from assets.case2code.claims import measure_claims
from assets.case2code.config import SEEDS, EvaluateConfig
from assets.case2code.evaluate import Graded, Problem, Rules, evaluate, summarise
from assets.case2code.problems import choose_evenly, completion_problem, induction_problem
from assets.case2code.rows import cases_of
from assets.claims.claim import claims_frame, markdown_table
from assets.core.ids import content_id
from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import track
from assets.core.recipe import CHEAP, Input, recipe
from assets.core.resources import ComputeResource
from assets.core.sandbox.resource import SandboxResource

if TYPE_CHECKING:
    from models.inference.torch_engine import TorchEngine

# The evaluations. The first two ask for programs of the grammar that were never trained on, `real` for functions of
# packages that the starting checkpoint never read.
EVALUATIONS = ("evaluation", "unseen", "real", "completion", "text")
GRADES = pl.Schema(
    {
        "id": pl.String,
        "parents": pl.List(pl.String),
        "arm": pl.String,
        "seed": pl.Int64,
        "evaluation": pl.String,
        "item_id": pl.String,
        "group_id": pl.String,
        "sample": pl.Int64,
        "prompt": pl.String,
        "raw_output": pl.String,
        "parsed": pl.String,
        "parse_ok": pl.Boolean,
        "status": pl.String,
        "detail": pl.String,
        "n_tokens": pl.Int64,
        "shown": pl.List(pl.Int64),
        "correct": pl.List(pl.Boolean),
        "shown_accuracy": pl.Float64,
        "hidden_accuracy": pl.Float64,
        "score": pl.Float64,
        "bits": pl.Float64,
        "n_bytes": pl.Int64,
    }
)
CHECKPOINT_OF = {arm: "case2code/base" if arm == "few_shot" else f"case2code/checkpoint/{arm}" for arm in ARMS}


def grade(
    out: DatasetWriter,
    config: EvaluateConfig,
    checkpoint: Dataset,
    programs: Dataset,
    cases: Dataset,
    code: Dataset,
    partition: str,
    trainer: ComputeResource,
    sandbox: SandboxResource,
) -> None:
    """What one checkpoint answers to every problem, executed on all its cases; and its bits on held-out code."""
    import torch

    from models.evaluation.bits_per_byte import bits_per_byte
    from models.inference.torch_engine import TorchEngine

    torch.set_num_threads(trainer.threads)
    engine = TorchEngine(checkpoint.folder, dtype=getattr(torch, trainer.dtype), device=trainer.device)
    record = checkpoint.read("id", "arm").row(0, named=True)
    arm: Arm = "few_shot" if record["arm"] == "base" else record["arm"]
    place = {"checkpoint": record["id"], "arm": arm, "seed": int(partition)}
    rules = Rules(
        sampling_of(arm, max_new_tokens=config.max_new_tokens, temperature=config.temperature, top_p=config.top_p),
        n=config.n_samples,
        seed=config.seed,
        limits=sandbox.limits(config.seconds),
        tolerance=config.tolerance,
    )
    heldout = code.read().filter(pl.col("split") == "heldout")
    asked = problems(arm, config, programs.read(), cases.read(), set(heldout["package"]))
    scored = 0
    with sandbox.open() as runner:
        for evaluation, found in asked.items():
            label = f"case2code/grades/{arm}@{partition}: {evaluation}"
            rows = list(track(evaluate(engine, runner, found, rules), label=label, total=len(found) * rules.n))
            rows.sort(key=lambda row: (row.item_id, row.sample))
            out.ledger.rows_in += len(rows)
            out.write(graded_frame(rows, evaluation, **place))
            out.describe(**{evaluation: summarise(rows)})
            scored += sum(row.score is not None for row in rows if evaluation == "evaluation")
    texts = heldout.sort("id").head(config.n_problems)
    out.ledger.rows_in += texts.height
    scores = text_frame(texts, engine, checkpoint.folder, **place)
    out.write(scores)
    out.check("problems_scored", scored > 0, scored=scored)
    out.describe(heldout_bits_per_byte=round(bits_per_byte(scores["bits"].to_numpy(), scores["n_bytes"].to_numpy()), 4))


def problems(
    arm: Arm, config: EvaluateConfig, programs: pl.DataFrame, cases: pl.DataFrame, packages: set[str]
) -> dict[str, list[Problem]]:
    """What an arm is asked, by evaluation. `packages` are those of which real functions are asked."""
    max_shown = int(programs["max_shown"][0])
    training = cases_of(programs.filter(pl.col("split") == "train").head(config.n_problems))
    chosen = {
        "evaluation": _chosen(programs.filter(pl.col("split") == "test"), "n_operations", config.n_problems),
        "real": _chosen(cases.filter(pl.col("package").is_in(packages)), "package", config.n_problems),
    }
    found: dict[str, list[Problem]] = {}
    for evaluation, rows, style in (
        ("evaluation", chosen["evaluation"], "evaluation"),
        ("unseen", chosen["evaluation"], "unseen"),
        ("real", chosen["real"], "evaluation"),
    ):
        made = (
            induction_problem(
                case,
                group,
                arm,
                style,
                shots=training,
                n_shots=config.n_shots,
                max_shown=max_shown,
                hint=config.hint,
                seed=config.seed,
            )
            for case, group in zip(cases_of(rows), rows["group"], strict=True)
        )
        found[evaluation] = [problem for problem in made if problem is not None]
    bodies = map(completion_problem, cases_of(chosen["real"]), chosen["real"]["group"])
    return found | {"completion": [problem for problem in bodies if problem is not None]}


def _chosen(rows: pl.DataFrame, group: str, n: int) -> pl.DataFrame:
    """At most `n` rows, evenly over the groups; ids are hashes of the content, so that their order is a draw."""
    rows = rows.with_columns(group=pl.col(group).cast(pl.String)).sort("id")
    return rows[choose_evenly(rows["group"], n)]


def graded_frame(rows: Sequence[Graded], evaluation: str, *, checkpoint: str, arm: str, seed: int) -> pl.DataFrame:
    """A row per answer, which leads back to its problem and its checkpoint."""
    named = [
        asdict(row)
        | {
            "id": content_id("grade", checkpoint, evaluation, row.item_id, str(row.sample)),
            "parents": [row.item_id, checkpoint],
            "arm": arm,
            "seed": seed,
            "evaluation": evaluation,
            "bits": None,
            "n_bytes": None,
        }
        for row in rows
    ]
    return pl.DataFrame(named, schema=GRADES)


def text_frame(
    texts: pl.DataFrame, engine: TorchEngine, folder: Path, *, checkpoint: str, arm: str, seed: int
) -> pl.DataFrame:
    """A row per held-out document with the bits that the checkpoint needs for it."""
    from assets.internlm2.tokenizer import encode, load_tokenizer, special_ids
    from models.evaluation.bits_per_byte import document_bits

    vocabulary = load_tokenizer(folder)
    tokens = [np.asarray(ids, dtype=np.int64) for ids in encode(vocabulary, texts["text"].to_list())]
    bits = document_bits(engine.decoder, tokens, bos_id=special_ids(vocabulary)[0])
    rows = texts.select(
        item_id="id", group_id="package", n_bytes="n_bytes", bits=pl.Series(bits, dtype=pl.Float64)
    ).with_columns(
        id=pl.Series([content_id("grade", checkpoint, "text", item, "0") for item in texts["id"]], dtype=pl.String),
        parents=pl.concat_list("item_id", pl.lit(checkpoint)),
        arm=pl.lit(arm),
        seed=pl.lit(seed, dtype=pl.Int64),
        evaluation=pl.lit("text"),
        status=pl.lit("ok"),
        n_tokens=pl.Series([len(ids) for ids in tokens], dtype=pl.Int64),
    )
    return pl.concat([pl.DataFrame(schema=GRADES), rows], how="diagonal").select(GRADES.names())


GRADED = [
    recipe(
        f"case2code/grades/{arm}",
        inputs={
            "checkpoint": Input(CHECKPOINT_OF[arm]),
            "programs": Input("case2code/programs"),
            "cases": Input("case2code/cases"),
            "code": Input("case2code/code"),
        },
        partitions=SEEDS,
        checks=("problems_scored",),
        resources=("trainer", "sandbox"),
        kinds={"pytorch", "bubblewrap"},
        tags={"stage": "evaluate"},
    )(grade)
    for arm in ARMS
]


@recipe(
    "claims/case2code",
    inputs={
        **{arm: Input(f"case2code/grades/{arm}", all_partitions=True) for arm in ARMS},
        **{f"checkpoint_{arm}": Input(CHECKPOINT_OF[arm], all_partitions=True) for arm in TRAINED_ARMS},
    },
    ledger=False,
    checks=("equal_tokens",),
    tags={"stage": "claims"},
    automation=CHEAP,
)
def case2code_claims(out: DatasetWriter, **by_name: dict[str, Dataset]) -> None:
    """The claims of the Case2Code paper in the small: differences, intervals, verdicts."""
    read = [dataset.read() for arm in ARMS for _, dataset in sorted(by_name[arm].items())]
    grades = pl.concat([pl.DataFrame(schema=GRADES), *read])
    rows = claims_frame(list(measure_claims(grades)))
    out.write(rows)
    records = [
        dataset.read("arm", "seed", "tokens", "steps", "epochs")
        for arm in TRAINED_ARMS
        for dataset in by_name[f"checkpoint_{arm}"].values()
    ]
    trained = pl.concat(records).sort("seed", "arm").to_dicts() if records else []
    amounts = {(record["tokens"], record["steps"]) for record in trained}
    out.check("equal_tokens", len(amounts) <= 1, checkpoints=trained)
    out.describe(table=markdown_table(rows), verdicts=dict(rows["verdict"].value_counts().iter_rows()))
    accuracy = solved(grades)
    out.describe(solved_on_hidden_cases=accuracy)
    if accuracy:
        out.plot("accuracy", plots.plot_accuracy(accuracy))
        losses: dict[str, tuple[plots.Floats, plots.Floats]] = {
            arm: _losses(by_name[f"checkpoint_{arm}"]) for arm in TRAINED_ARMS if by_name[f"checkpoint_{arm}"]
        }
        out.plot("losses", plots.plot_losses(losses))


def solved(grades: pl.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Share of problems solved on all hidden cases, by arm and evaluation, one value per seed."""
    scored = grades.filter(pl.col("hidden_accuracy").is_not_null())
    means = scored.group_by("arm", "evaluation", "seed", maintain_order=True).agg(
        (pl.col("hidden_accuracy") == 1).mean()
    )
    found: dict[str, dict[str, list[float]]] = {}
    for arm, evaluation, _, share in means.sort("seed", maintain_order=True).iter_rows():
        found.setdefault(arm, {}).setdefault(evaluation, []).append(round(share, 4))
    return found


def _losses(checkpoints: dict[str, Dataset]) -> tuple[plots.Floats, plots.Floats]:
    """Tokens and loss of the first seed's training."""
    metadata = min(checkpoints.items())[1].manifest.metadata
    losses = np.array(metadata["losses"], dtype=np.float64)
    return np.linspace(metadata["tokens"] / len(losses), metadata["tokens"], len(losses)), losses
