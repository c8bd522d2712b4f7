"""From a plan and its data to a published checkpoint: trained, tracked in MLflow, saved, tried in `transformers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assets.core.lake import Dataset, DatasetWriter
from assets.core.progress import bar
from assets.core.tracking import Tracking, TrainingRun
from assets.core.trainer import TrainerResource
from assets.core.training import train_model

if TYPE_CHECKING:
    from models.architecture.decoder import Decoder
    from models.training.data_folder import TokenStream
    from models.training.examples import Examples
    from models.training.objectives import Objective
    from models.training.plan import StepRecord, TrainingPlan, TrainingReport

# Blocking checks of every checkpoint that `train_checkpoint` makes.
CHECKS = ("training_complete", "loads_in_transformers")
LAST_STEPS = 20


@dataclass(frozen=True)
class Trained:
    """What the row of a checkpoint is made of."""

    report: TrainingReport
    final_loss: float
    parameters: int
    weights: str


def train_checkpoint(
    out: DatasetWriter,
    tracking: Tracking,
    trainer: TrainerResource,
    decoder: Decoder,
    data: TokenStream | Examples,
    plan: TrainingPlan,
    *,
    objective: Objective,
    name: str,
    tokenizer: Dataset,
    inputs: Sequence[tuple[str, Dataset]],
    params: Mapping[str, object],
    tags: Mapping[str, str],
    epochs: int = 1,
) -> Trained:
    """Train `decoder`, write it into the folder of `out` with checks and metadata; the row is left to the caller.

    `name` is `system/arm/seed`; `inputs` are what it is trained on, as (context, dataset) pairs, the first of which
    MLflow gives the model's metrics for; `tags` tell the arm and the seed.
    """
    from models.architecture.config import count_parameters

    parameters = count_parameters(decoder.config)
    with (
        tracking.training_run(
            name=name,
            fingerprint=out.fingerprint,
            params={**tags, "parameters": parameters, **params},
            datasets=inputs,
            tags=tags,
        ) as run,
        bar(plan.steps, label=name, unit=" steps") as advance,
    ):

        def on_step(record: StepRecord) -> None:
            run.log_step(record.step, step_metrics(record))
            advance(f"loss {record.loss:.3f}, {record.tokens_per_second:,.0f} tokens/s")

        report = train_model(
            trainer, decoder, data, plan, objective=objective, state_folder=out.work,
            data_digest="".join(dataset.digest for _, dataset in inputs), on_step=on_step, epochs=epochs,
            tokenizer_folder=tokenizer.folder,
        )  # fmt: skip
        for step, loss in enumerate(report.losses):  # what a killed process had not sent; the rest is skipped
            run.log_step(step, {"loss": loss})
        final_loss = float(np.mean(report.losses[-LAST_STEPS:]))
        weights = publish_weights(
            out, run, decoder, tokenizer.folder, name=name, tags=tags, metrics={"final_loss": final_loss},
            dataset=inputs[0][1],
        )  # fmt: skip
    out.check("training_complete", report.steps == plan.steps and report.weights_changed, steps=report.steps)
    describe_training(out, report, final_loss)
    return Trained(report, final_loss, parameters, weights)


def step_metrics(record: StepRecord) -> dict[str, float]:
    """What MLflow draws of a training step."""
    return {
        "loss": record.loss,
        "learning_rate": record.learning_rate,
        "grad_norm": record.grad_norm,
        "tokens_per_second": record.tokens_per_second,
        "peak_memory_mib": record.peak_memory_bytes / 2**20,
    }


def publish_weights(
    out: DatasetWriter,
    run: TrainingRun,
    decoder: Decoder,
    tokenizer_folder: Path,
    *,
    name: str,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    dataset: Dataset,
) -> str:
    """Write `decoder` into the folder of `out`, try it in `transformers`, log it in MLflow; answers its digest.

    `name` is `system/arm/seed`; MLflow gives the model's metrics for `dataset`.
    """
    from models.architecture.config import count_parameters
    from models.architecture.huggingface import save_folder
    from models.training.checkpoint import weights_digest

    save_folder(decoder, out.folder, tokenizer_folder)
    sample = generates_in_transformers(out.folder)
    weights = weights_digest(decoder)
    model_id = run.log_model(
        out.folder, name="-".join(name.split("/")[:-1]), params=tags, metrics=metrics, dataset=dataset
    )
    out.check("loads_in_transformers", bool(sample), generated=sample)
    out.describe(
        weights_digest=weights, parameters=count_parameters(decoder.config), mlflow_run=run.run_id,
        mlflow_model=model_id,
    )  # fmt: skip
    return weights


def describe_training(out: DatasetWriter, report: TrainingReport, final_loss: float) -> None:
    """What the pages show of a training."""
    out.describe(
        steps=report.steps, tokens=report.tokens_seen, final_loss=round(final_loss, 4),
        training_seconds=round(report.seconds, 1), resumed_from=report.resumed_from or 0,
        losses=[round(loss, 4) for loss in report.losses],
    )  # fmt: skip


def generates_in_transformers(folder: Path) -> str:
    """What the exported folder generates in `transformers`, greedily: a check that others can load it."""
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer(tokenizer.bos_token + "def ", return_tensors="pt", add_special_tokens=False)
    generated = model.generate(**prompt, max_new_tokens=24, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    return str(tokenizer.decode(generated[0], skip_special_tokens=True))
