"""Started by torchrun on two processes: trains on every DeepSpeed setting and writes what came of it.

Usage: deepspeed_runs.py FOLDER; answers FOLDER/results.json, written by rank 0.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch.distributed as dist

from models.architecture.config import DecoderConfig
from models.architecture.decoder import Decoder
from models.architecture.huggingface import save_folder
from models.training.checkpoint import weights_digest
from models.training.deepspeed_backend import DeepSpeedSettings, with_deepspeed
from models.training.loop import train
from models.training.packing import PackedStream
from models.training.plan import StepRecord, TrainingPlan

PLAN = TrainingPlan(
    steps=12, batch_rows=8, sequence_length=32, peak_lr=3e-3, warmup_steps=3, accumulation=2, clip_norm=0.5,
    checkpoint_every=6, threads=1,
)  # fmt: skip
CONFIG = DecoderConfig(vocab_size=97, dim=48, n_layers=2, n_heads=6, n_kv_heads=2, ffn_dim=80, max_length=64)
# name: stage, offload, dtype
RUNS: dict[str, tuple[int, bool, str]] = {
    "zero0": (0, False, "float32"),
    "zero1": (1, False, "float32"),
    "zero2": (2, False, "float32"),
    "zero3": (3, False, "float32"),
    "zero1_offload": (1, True, "float32"),
    "zero2_offload": (2, True, "float32"),
    "zero3_offload": (3, True, "float32"),
    "zero2_bfloat16": (2, False, "bfloat16"),
}


def stream() -> PackedStream:
    generator = np.random.default_rng(0)
    lengths, starts = generator.integers(2, 61, size=300), generator.integers(0, 97, size=300)
    tokens = [(start + np.arange(length)) % 97 for start, length in zip(starts, lengths, strict=True)]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return PackedStream(np.concatenate(tokens).astype(np.uint32), offsets, generator.permutation(300), 32, 8)


def main(folder: Path) -> None:
    results: dict[str, object] = {}
    for name, (stage, offload, dtype) in RUNS.items():
        norms: list[float] = []
        model = Decoder(CONFIG)
        settings = with_deepspeed(DeepSpeedSettings(stage, offload))

        def note(record: StepRecord, norms: list[float] = norms) -> None:
            norms.append(record.grad_norm)

        report = train(model, stream(), replace(PLAN, dtype=dtype), folder / name, "data", note, backend=settings)
        results[name] = {"losses": report.losses, "norms": norms, "digest": weights_digest(model)}
        if name == "zero3" and dist.get_rank() == 0:
            save_folder(model, folder / "exported", None)
    for stage in (0, 2, 3):
        model = Decoder(CONFIG)
        settings = with_deepspeed(DeepSpeedSettings(stage))
        report = train(model, stream(), PLAN, folder / "one_process", "data", backend=settings)
        results[f"resumed_on_zero{stage}"] = {"losses": report.losses, "resumed_from": report.resumed_from}
        dist.barrier()
        if dist.get_rank() == 0:  # the next stage goes on from the same place
            for late in (folder / "one_process").glob("step-00000012"):
                late.rename(folder / f"done-on-zero{stage}")
        dist.barrier()
    if dist.get_rank() == 0:
        (folder / "results.json").write_text(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
