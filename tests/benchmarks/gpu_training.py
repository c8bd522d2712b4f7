"""Training on one GPU: model FLOPs utilisation, and DeepSpeed against plain torch. `make bench NAME=gpu_training`.

A decoder of about 1 B parameters, rows of 4,096 tokens packed with ragged documents, bfloat16 with float32 master
weights, layers and loss compiled, fused AdamW, flash attention of variable length. Utilisation is
tokens/s * (6 N + 12 L d T) / peak (InternLM2, arXiv 2403.17297, section 2.1; N without the embedding table), the peak
that of dense bfloat16 products. Without a GPU nothing is measured, and that is said.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch

from models.architecture.config import DecoderConfig, count_parameters
from models.architecture.decoder import Decoder
from models.training.backend import Backend, TorchBackend
from models.training.deepspeed_backend import DeepSpeedSettings, with_deepspeed
from models.training.loop import train
from models.training.packing import PackedStream
from models.training.plan import StepRecord, TrainingPlan
from tests.benchmarks.report import closing_line, conditions

SIZES = {
    "1B": DecoderConfig(
        vocab_size=32_768, dim=2048, n_layers=20, n_heads=16, n_kv_heads=8, ffn_dim=5632, max_length=4096
    ),
    "tiny": DecoderConfig(vocab_size=512, dim=64, n_layers=2, n_heads=4, n_kv_heads=2, ffn_dim=128, max_length=4096),
}  # fmt: skip
# Dense bfloat16 products, FLOP/s, from the makers' data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12}
SKIPPED_STEPS = 5


def utilisation(tokens_per_second: float, config: DecoderConfig, length: int, peak: float) -> float:
    """Share of the peak spent on the model's own products; recomputation would not count."""
    parameters = count_parameters(config) - config.vocab_size * config.dim
    flops_per_token = 6 * parameters + 12 * config.n_layers * config.dim * length
    return tokens_per_second * flops_per_token / peak


def ragged_stream(config: DecoderConfig, steps: int, rows: int) -> PackedStream:
    """Random tokens in documents of 600 tokens on average: speed does not depend on what they say."""
    generator = np.random.default_rng(0)
    needed = steps * rows * config.max_length
    lengths = np.clip(generator.lognormal(np.log(400), 0.9, needed // 300).astype(np.int64), 16, config.max_length)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    tokens = generator.integers(0, config.vocab_size, offsets[-1]).astype(np.uint32)
    return PackedStream(tokens, offsets, np.arange(len(lengths)), config.max_length, rows)


def measure(config: DecoderConfig, plan: TrainingPlan, device: str, backend: Any) -> tuple[float, int]:
    """Median tokens per second after the first steps, and the peak memory."""
    speeds: list[float] = []

    def on_step(record: StepRecord) -> None:
        speeds.append(record.tokens_per_second)

    model = Decoder(config).to(device)
    stream = ragged_stream(config, plan.steps + 1, plan.batch_rows)
    with tempfile.TemporaryDirectory() as folder:
        report = train(model, stream, plan, Path(folder), "benchmark", on_step, backend=backend)
    return median(speeds[SKIPPED_STEPS:]), report.peak_memory_bytes


@click.command(help=__doc__)
@click.option("--size", type=click.Choice(list(SIZES)), default="1B", show_default=True)
@click.option("--steps", default=25, show_default=True)
@click.option("--rows", default=8, show_default=True, help="Rows of 4,096 tokens of the global batch.")
@click.option("--accumulation", default=1, show_default=True)
@click.option("--peak", type=float, help="FLOP/s of the device, where it is not known here.")
@click.option("--rehearse", is_flag=True, help="Run on the CPU, to try the script; its figures mean nothing.")
def main(size: str, steps: int, rows: int, accumulation: int, peak: float | None, rehearse: bool) -> None:
    click.echo(conditions("torch", "deepspeed"))
    if not torch.cuda.is_available() and not rehearse:
        click.echo("no GPU here: not run. On a machine with one, the same command measures.")
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    peak = peak or next((flops for known, flops in PEAKS.items() if known in name), None)
    if peak is None:
        raise click.UsageError(f"the peak of {name} is not known here: give --peak in FLOP/s")
    config = SIZES[size]
    plan = TrainingPlan(
        steps=steps, batch_rows=rows, sequence_length=config.max_length, peak_lr=3e-4, warmup_steps=2,
        accumulation=accumulation, dtype="bfloat16", compile=device == "cuda", checkpoint_every=10**6,
    )  # fmt: skip
    click.echo(
        f"{name}, {count_parameters(config) / 1e6:,.0f} M parameters, {rows} x {config.max_length} tokens a step"
    )
    for variable, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "RANK": "0", "WORLD_SIZE": "1"}.items():
        os.environ.setdefault(variable, value)  # DeepSpeed asks even a single process for its place
    os.environ.setdefault("LOCAL_RANK", "0")
    found: dict[str, float] = {}
    backends: dict[str, type[Backend] | Any] = {
        "torch": TorchBackend,
        "deepspeed": with_deepspeed(DeepSpeedSettings(zero_stage=1)),
    }
    for key, backend in backends.items():
        found[key], memory = measure(config, plan, device, backend)
        share = utilisation(found[key], config, config.max_length, peak)
        click.echo(f"  {key}: {found[key]:,.0f} tokens/s, MFU {share:.3f}, {memory / 2**30:.1f} GiB")
    ours = utilisation(found["torch"], config, config.max_length, peak)
    click.echo(closing_line("gpu_training_mfu", ours / 0.55, f"{ours:.3f}", "the goal of 0.55"))
    click.echo(
        closing_line(
            "gpu_training_tokens_per_second",
            found["torch"] / found["deepspeed"],
            f"{found['torch']:,.0f}",
            f"DeepSpeed's {found['deepspeed']:,.0f}",
        )
    )


if __name__ == "__main__":
    main()
