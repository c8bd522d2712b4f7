"""Training against transformers' Trainer and TRL's SFTTrainer on the CPU. `make bench NAME=training`.

Same starting weights, documents (code and docstrings of Python's standard library, up to 256 tokens each), tokens a
step, AdamW settings and schedule; each trainer at its best setting of dtype, compilation and packing, found in the
same run among those that reach our held-out loss. Ours keeps documents apart by masks and float32 master weights; that
a peer does not is said beside its figure.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import click

from tests.benchmarks.report import closing_line, conditions

MAX_TOKENS = 256
# Peers whose held-out loss is not further above ours than this, in nats per token, count.
TOLERANCE = 0.02
SIZES: dict[str, dict[str, Any]] = {
    "1M": {"vocab_size": 2048, "dim": 128, "n_layers": 4, "n_heads": 4, "n_kv_heads": 2, "ffn_dim": 384},
    "10M": {"vocab_size": 4096, "dim": 320, "n_layers": 6, "n_heads": 10, "n_kv_heads": 5, "ffn_dim": 896},
}
STEPS = {"1M": 60, "10M": 20}
SWEEP_STEPS = 14
OURS = [
    {"trainer": "ours", "dtype": dtype, "compile": compiled, "packing": "packed with masks"}
    for dtype, compiled in (("bfloat16", True), ("bfloat16", False), ("float32", False))
]
# Left out, because slower in every trial: float32 uncompiled, autocast, and compiling for padded batches, whose shape
# changes at every step.
PEERS = [
    {"trainer": trainer, "dtype": dtype, "compile": compiled, "packing": packing}
    for trainer, packing, dtype, compiled in (
        ("Trainer", "packed", "float32", True),
        ("Trainer", "packed", "bfloat16", False),
        ("Trainer", "packed", "bfloat16", True),
        ("Trainer", "packed with masks", "float32", True),
        ("Trainer", "packed with masks", "bfloat16", False),
        ("Trainer", "packed with masks", "bfloat16", True),
        ("Trainer", "padded", "bfloat16", False),
        ("SFTTrainer", "packed", "bfloat16", False),
        ("SFTTrainer", "packed", "bfloat16", True),
        ("SFTTrainer", "packed with masks", "bfloat16", True),
    )
]


def prepare(folder: Path, size: str) -> None:
    """Documents, tokenizer and the starting model."""
    from assets.corpora.python_units import module_units
    from assets.internlm2.tokenizer import encode, save_tokenizer, special_ids, train_tokenizer
    from models.architecture.config import DecoderConfig
    from models.architecture.decoder import Decoder
    from models.architecture.huggingface import save_folder

    texts = []
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        texts += [unit.text for unit in module_units(path.read_text(encoding="utf-8", errors="replace"), 4096)]
    tokenizer = train_tokenizer(texts, vocab_size=SIZES[size]["vocab_size"], min_frequency=2)
    save_tokenizer(tokenizer, folder / "tokenizer", max_length=MAX_TOKENS)
    bos, eos = special_ids(tokenizer)
    documents = [[bos, *tokens, eos] for tokens in encode(tokenizer, texts) if 16 <= len(tokens) <= MAX_TOKENS - 2]
    # A stride that has no common factor with the number of documents mixes modules the same way on every machine.
    mixed = [documents[(index * 7919) % len(documents)] for index in range(len(documents))]
    (folder / "heldout.json").write_text(json.dumps(mixed[:200]))
    needed, train = (STEPS[size] + 2) * 16 * MAX_TOKENS, []
    for document in itertools.cycle(mixed[200:]):
        train.append(document)
        needed -= len(document)
        if needed < 0:
            break
    (folder / "train.json").write_text(json.dumps(train))
    decoder = Decoder(DecoderConfig(**SIZES[size], max_length=MAX_TOKENS))
    save_folder(decoder, folder / "model", folder / "tokenizer")
    lengths = [len(document) for document in train]
    click.echo(f"{size}: {len(train)} documents of {sum(lengths) / len(lengths):.0f} tokens on average")


def run(folder: Path, setting: dict[str, Any], steps: int) -> dict[str, Any] | None:
    """The worker's figures; None when it fails, which is printed."""
    command = [sys.executable, "-m", "tests.benchmarks.training_contenders", str(folder)]
    done = subprocess.run(
        [*command, json.dumps(setting | {"steps": steps})],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    if done.returncode:
        click.echo(f"  {describe(setting)}: failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:150]}")
        return None
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    click.echo(
        f"  {describe(setting)}: {result['tokens_per_second']:,.0f} tokens/s, held-out loss {result['heldout']:.3f}, "
        f"{result['memory'] / 2**20:,.0f} MiB"
    )
    return result


def describe(setting: dict[str, Any]) -> str:
    return f"{setting['trainer']}, {setting['dtype']}{', compiled' * setting['compile']}, {setting['packing']}"


def best(folder: Path, settings: list[dict[str, Any]], steps: int, loss: float) -> tuple[dict[str, Any], float] | None:
    """The fastest setting that reaches the loss, and its own."""
    found = [(setting, run(folder, setting, steps)) for setting in settings]
    reached = [(setting, result) for setting, result in found if result and result["heldout"] <= loss + TOLERANCE]
    if not reached:
        return None
    setting, result = max(reached, key=lambda pair: pair[1]["tokens_per_second"])
    return setting, result["heldout"]


def profile_ours(folder: Path, size: str) -> None:
    """Where a step's time goes, and how far the matrix products are from the CPU's rate."""
    import numpy as np
    import torch
    from torch.profiler import ProfilerActivity, profile

    from models.architecture.huggingface import load_folder
    from models.training.backend import TorchBackend
    from models.training.objectives import PRETRAIN
    from models.training.packing import PackedStream
    from models.training.plan import TrainingPlan

    documents = json.loads((folder / "train.json").read_text())
    offsets = np.concatenate(([0], np.cumsum([len(document) for document in documents])))
    stream = PackedStream(np.concatenate(documents).astype(np.uint32), offsets, np.arange(len(documents)), 256, 16)
    plan = TrainingPlan(steps=8, batch_rows=16, sequence_length=256, peak_lr=1e-3, warmup_steps=0, dtype="bfloat16")
    backend = TorchBackend(load_folder(folder / "model"), plan)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for step in range(3):
            batch = stream.batch(step)
            backend.accumulate(PRETRAIN, [batch], PRETRAIN.counts(batch))
            backend.update(1e-3)
    rows = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    share = {row.key: row.self_cpu_time_total / total for row in rows}
    shown = ", ".join(f"{key.removeprefix('aten::')} {value:.0%}" for key, value in list(share.items())[:8])
    matrices = sum(p.numel() for name, p in backend.model.named_parameters() if p.ndim == 2 and "tok_emb" not in name)
    flops = 6 * matrices * 16 * 256 * 3
    rate = flops / (share.get("aten::mm", 1.0) * total * 1e-6) / 1e9
    left, right = torch.randn(4096, 1024).bfloat16(), torch.randn(1024, 1024).bfloat16()
    with profile(activities=[ProfilerActivity.CPU]) as peak:
        for _ in range(10):
            left @ right
    seconds = sum(row.self_cpu_time_total for row in peak.key_averages() if row.key == "aten::mm") * 1e-6
    ceiling = 10 * 2 * 4096 * 1024 * 1024 / seconds / 1e9
    click.echo(f"  where {size}'s time goes: {shown}")
    click.echo(
        f"  matrix products run at {rate:,.0f} of the {ceiling:,.0f} GFLOP/s of a large one; the whole step at "
        f"{flops / (total * 1e-6) / 1e9:,.0f} GFLOP/s, {flops / (total * 1e-6) / 1e9 / ceiling:.0%}"
    )


@click.command(help=__doc__)
@click.option("--sizes", default="1M,10M", show_default=True)
@click.option("--repetitions", default=3, show_default=True, help="Paired repetitions of the final comparison.")
def main(sizes: str, repetitions: int) -> None:
    click.echo(conditions("torch", "transformers", "trl", "accelerate"))
    lines = []
    for size in sizes.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, size)
            steps = STEPS[size]
            fastest = best(folder, OURS, SWEEP_STEPS, float("inf"))
            assert fastest is not None, "our own training fails"
            ours, loss = fastest
            for trainer in ("Trainer", "SFTTrainer"):
                peer = best(folder, [each for each in PEERS if each["trainer"] == trainer], SWEEP_STEPS, loss)
                if peer is None:
                    click.echo(f"  no setting of {trainer} reached the loss of {loss:.3f}")
                    continue
                lines += compare(folder, size, ours, peer[0], steps, repetitions)
            profile_ours(folder, size)
    click.echo("\n".join(lines))


def compare(
    folder: Path, size: str, ours: dict[str, Any], peer: dict[str, Any], steps: int, repetitions: int
) -> list[str]:
    """Both in turns; the closing lines."""
    speeds: tuple[list[float], list[float]] = ([], [])
    memories: tuple[list[float], list[float]] = ([], [])
    for repetition in range(repetitions):
        for which in (0, 1) if repetition % 2 == 0 else (1, 0):
            result = run(folder, (ours, peer)[which], steps)
            assert result is not None, "a setting that ran before fails now"
            speeds[which].append(result["tokens_per_second"])
            memories[which].append(result["memory"] / 2**20)
    speed, memory = [median(each) for each in speeds], [median(each) for each in memories]
    name = f"training_{size}_{peer['trainer'].lower()}"
    against = f"{peer['trainer']}'s"
    return [
        closing_line(f"{name}_tokens_per_second", speed[0] / speed[1], f"{speed[0]:,.0f}", f"{against} {speed[1]:,.0f}")
        + f"  [{describe(ours)}; {describe(peer)}]",
        closing_line(f"{name}_memory", memory[1] / memory[0], f"{memory[0]:,.0f} MiB", f"{against} {memory[1]:,.0f}"),
    ]


if __name__ == "__main__":
    main()
