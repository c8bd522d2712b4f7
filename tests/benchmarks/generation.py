"""The torch engine against vLLM and transformers on the CPU. `make bench NAME=generation`.

256 prompts of 32 tokens, 128 new tokens each at temperature 1, from a 3 M Llama in bfloat16; token ids in, text out
(transformers: token ids out). Each peer at the best of its settings, tried first in the same run; then rounds in turns.
`make vllm` makes the environment in which vLLM runs; without it that peer is left out, and the report says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from tests.benchmarks.report import closing_line, conditions

if TYPE_CHECKING:
    from models.inference.drift import Drift

VLLM_PYTHON = Path(__file__).parents[2] / ".venv-vllm/bin/python"
WORKER = Path(__file__).with_name("generation_vllm.py")
PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 256, 32, 128
MODEL = {
    "vocab_size": 512,
    "dim": 256,
    "n_layers": 4,
    "n_heads": 8,
    "n_kv_heads": 4,
    "ffn_dim": 688,
    "max_length": 512,
}
THREADS = 2
Run = Callable[[int], float]
"""Seconds that all prompts take with so many new tokens each."""


def prepare(folder: Path) -> list[list[int]]:
    """A checkpoint whose answers never end by themselves, and the prompts."""
    import numpy as np
    import torch

    from assets.corpora.python_library import read_python_library
    from assets.internlm2.tokenizer import save_tokenizer, train_tokenizer
    from models.architecture.config import DecoderConfig
    from models.architecture.decoder import Decoder
    from models.architecture.folder import GENERATION_FILE
    from models.architecture.huggingface import save_folder

    texts = [row.text for row, _ in zip(read_python_library(2000), range(2000), strict=False) if hasattr(row, "text")]
    save_tokenizer(train_tokenizer(texts, vocab_size=512, min_frequency=2), folder / "tokenizer", max_length=512)
    decoder = Decoder(DecoderConfig(**MODEL), seed=0).to(torch.bfloat16)
    save_folder(decoder, folder / "model", folder / "tokenizer")
    (folder / "model" / GENERATION_FILE).write_text("{}")
    return np.random.default_rng(0).integers(3, 512, (PROMPTS, PROMPT_TOKENS)).tolist()


def ours(folder: Path, prompts: list[list[int]]) -> Run:
    import torch

    from models.inference.engine import Completion, Request, Sampling
    from models.inference.torch_engine import TorchEngine

    engine = TorchEngine(folder, dtype=torch.bfloat16)

    def run(new_tokens: int) -> float:
        started = time.perf_counter()
        requests = [Request(tuple(p), Sampling(new_tokens), seed=seed) for seed, p in enumerate(prompts)]
        answers = [answer for _, answer in engine.generate(requests)]
        seconds = time.perf_counter() - started
        made = sum(each.usage.completion_tokens for each in answers if isinstance(each, Completion))
        assert made == len(prompts) * new_tokens, made
        return seconds

    return run


def drift_of(folder: Path, prompts: list[list[int]], dtype: str) -> Drift:
    import torch

    from models.inference.drift import logprob_drift
    from models.inference.engine import Completion, Request, Sampling
    from models.inference.torch_engine import TorchEngine

    engine = TorchEngine(folder, dtype=getattr(torch, dtype))
    requests = [Request(tuple(p), Sampling(NEW_TOKENS), seed=seed, logprobs=True) for seed, p in enumerate(prompts)]
    done = [(place, answer) for place, answer in engine.generate(requests) if isinstance(answer, Completion)]
    samples = [(prompts[place], answer.samples[0]) for place, answer in done]
    return logprob_drift(engine.decoder, [(p, s.token_ids or (), s.logprobs or ()) for p, s in samples])


def transformers(folder: Path, prompts: list[list[int]], dtype: str, cache: str) -> Run:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    given = torch.tensor(prompts)
    static: dict[str, Any] = {"cache_implementation": "static", "disable_compile": True} if cache == "static" else {}

    def run(new_tokens: int) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            whole = model.generate(
                given, attention_mask=torch.ones_like(given), do_sample=True, max_new_tokens=new_tokens,
                min_new_tokens=new_tokens, pad_token_id=0, top_k=0, **static,
            )  # fmt: skip
        assert whole.shape[1] == PROMPT_TOKENS + new_tokens
        return time.perf_counter() - started

    return run


def vllm(folder: Path, prompts: list[list[int]], threads: str, eager: bool) -> tuple[Run, subprocess.Popen[str]]:
    """A process that keeps the model loaded and generates when it is told to."""
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": threads,
    }
    process = subprocess.Popen(
        [VLLM_PYTHON, WORKER], env=environment, cwd=folder.parent, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=(folder.parent / "vllm.log").open("a"),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    to, back = process.stdin, process.stdout

    def ask(message: dict[str, object]) -> float:
        to.write(json.dumps(message) + "\n")
        to.flush()
        for line in back:
            if line.startswith("seconds "):
                return float(line.split()[1])
        raise RuntimeError(f"vLLM ended: see {folder.parent / 'vllm.log'}")

    ask({"folder": str(folder), "prompts": prompts, "eager": eager})
    return lambda new_tokens: ask({"new_tokens": new_tokens}), process


def best(settings: dict[str, Run]) -> tuple[str, Run]:
    """The setting that is fastest after a warm-up."""
    taken = {}
    for name, run in settings.items():
        run(8)
        taken[name] = run(NEW_TOKENS)
        click.echo(f"  {name}: {PROMPTS * NEW_TOKENS / taken[name]:,.0f} tokens/s")
    chosen = min(taken, key=taken.__getitem__)
    return chosen, settings[chosen]


@click.command()
@click.option("--rounds", default=5)
def main(rounds: int) -> None:
    import torch

    torch.set_num_threads(THREADS)
    click.echo(conditions("torch", "transformers"))
    processes = []
    with tempfile.TemporaryDirectory() as temporary:
        prompts = prepare(Path(temporary))
        folder = Path(temporary) / "model"
        runs = {"ours": ours(folder, prompts)}
        runs["ours"](8)
        tried = {
            f"transformers {dtype} {cache} cache": transformers(folder, prompts, dtype, cache)
            for dtype, cache in (("bfloat16", "static"), ("bfloat16", "dynamic"), ("float32", "static"))
        }
        name, run = best(tried)
        runs[name] = run
        if VLLM_PYTHON.exists():
            servers = {}
            for threads in ("auto", f"0-{THREADS - 1}"):
                server, process = vllm(folder, prompts, threads, eager=True)
                processes.append(process)
                servers[f"vLLM, threads {threads}"] = server
            name, run = best(servers)
            runs[name] = run
        else:
            click.echo("  vLLM was not run: create its environment with `make vllm`")
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        first: dict[str, list[float]] = {name: [] for name in runs}
        for round_ in range(rounds):
            order = list(runs) if round_ % 2 == 0 else list(runs)[::-1]
            for name in order:
                seconds[name].append(runs[name](NEW_TOKENS))
                first[name].append(runs[name](1))
        for process in processes:
            process.kill()
        for dtype in ("bfloat16", "float32"):
            drift = drift_of(folder, prompts[:32], dtype)
            click.echo(
                f"drift of our logprobs from the training forward pass, {dtype}: mean {drift.mean:.2g}, "
                f"largest {drift.largest:.2g} nats"
            )
    for name in runs:
        speed = PROMPTS * NEW_TOKENS / median(seconds[name])
        click.echo(f"{name}: {speed:,.0f} tokens/s, first tokens of all prompts in {median(first[name]) * 1000:.0f} ms")
    for name in list(runs)[1:]:
        pairs = zip(seconds[name], seconds["ours"], strict=True)
        ratio = median(theirs / own for theirs, own in pairs)
        speeds = [PROMPTS * NEW_TOKENS / median(seconds[each]) for each in ("ours", name)]
        click.echo(closing_line(f"generation against {name}", ratio, *(f"{speed:,.0f} tokens/s" for speed in speeds)))


if __name__ == "__main__":
    sys.exit(main())
