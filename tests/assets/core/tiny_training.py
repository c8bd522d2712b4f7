"""An asset that trains a decoder of a few thousand numbers, for tests of every launcher."""

from __future__ import annotations

import dagster as dg
import numpy as np
import polars as pl

from assets.core.lake import DatasetWriter
from assets.core.recipe import recipe
from assets.core.trainer import TrainerResource
from assets.core.training import train_model


class TinyConfig(dg.Config):
    """steps: of 4 rows of 32 tokens. checkpoint_every: steps between states."""

    steps: int = 12
    checkpoint_every: int = 5


RECORDS: list[tuple[int, float]] = []


@recipe("toy/trained", kind="checkpoint", ledger=False, resources=("trainer",))
def trained(out: DatasetWriter, config: TinyConfig, trainer: TrainerResource) -> None:
    """A decoder that learned to count."""
    from models.architecture.config import DecoderConfig
    from models.architecture.decoder import Decoder
    from models.architecture.huggingface import save_folder
    from models.training.checkpoint import weights_digest
    from models.training.data_folder import TokenStream
    from models.training.objectives import PRETRAIN
    from models.training.plan import TrainingPlan

    rng = np.random.default_rng(0)
    lengths, starts = rng.integers(2, 61, size=2000), rng.integers(0, 97, size=2000)
    tokens = [(start + np.arange(length)) % 97 for start, length in zip(starts, lengths, strict=True)]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    stream = TokenStream(np.concatenate(tokens).astype(np.uint32), offsets, np.tile(np.arange(2000), 10))
    plan = TrainingPlan(
        steps=config.steps, batch_rows=4, sequence_length=32, peak_lr=3e-3, warmup_steps=3,
        checkpoint_every=config.checkpoint_every, threads=trainer.threads, dtype=trainer.dtype,
    )  # fmt: skip
    decoder = Decoder(
        DecoderConfig(vocab_size=97, dim=32, n_layers=1, n_heads=4, n_kv_heads=2, ffn_dim=48, max_length=64), seed=1
    )
    RECORDS.clear()
    report = train_model(
        trainer, decoder, stream, plan, objective=PRETRAIN, state_folder=out.work, data_digest="toy",
        on_step=lambda record: RECORDS.append((record.step, record.loss)),
    )  # fmt: skip
    save_folder(decoder, out.folder, None)
    out.write(pl.DataFrame({"id": [weights_digest(decoder)], "parents": [[""]], "loss": [report.losses[-1]]}))
    out.describe(weights_digest=weights_digest(decoder), losses=report.losses, resumed_from=report.resumed_from or 0)


def materialize(
    trainer: TrainerResource, home: str, instance: dg.DagsterInstance, *, raise_on_error: bool = True, **config: int
) -> dg.ExecuteInProcessResult:
    """The asset, built with a trainer in a lake below `home`."""
    from assets.core.resources import LakeResource

    return dg.materialize(
        [trained],
        instance=instance,
        resources={"lake": LakeResource(root=f"{home}/lake", work=f"{home}/work"), "trainer": trainer},
        run_config=dg.RunConfig(ops={"toy__trained": TinyConfig(**config)}),
        raise_on_error=raise_on_error,
    )


def facts(home: str) -> dict[str, object]:
    """What the asset published said of the training."""
    from pathlib import Path

    from assets.core.lake import Lake

    return dict(Lake(f"{home}/lake", Path(f"{home}/work")).get("toy/trained").manifest.metadata)
