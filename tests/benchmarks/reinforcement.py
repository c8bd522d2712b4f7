"""Iterations of OREAL against TRL's GRPOTrainer on the CPU, and how busy a tree search keeps the engine.
`make bench NAME=reinforcement`.

One Llama of 1 M parameters, fine-tuned on ChainArith for a minute; 16 prompts of 16 samples, about 62 tokens each,
rewarded by the same exact verifier, one update per iteration. Ours is the `Loop` of the graph with its phases written
to the disk; TRL saves nothing and has no KL term. Both at the best of the settings that were tried first in the same
run; then rounds in turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import polars as pl

from tests.benchmarks.reinforcement_contenders import GROUP, PROMPTS
from tests.benchmarks.reinforcement_policy import (
    MAX_NEW_TOKENS,
    RL,
    SEARCH,
    draw_rows,
    fitting,
    make_policy,
    pass_rates,
)
from tests.benchmarks.report import closing_line, conditions

SAMPLES = GROUP * PROMPTS
# As many samples as the trees of the search may cost tokens.
SEARCH_SOLUTIONS = 8
# Not tried: autocast and compilation, slower in every trial of `training`; vLLM, whose weights TRL sends between GPUs.
PEERS: list[dict[str, Any]] = [
    {"trainer": "GRPOTrainer", "dtype": dtype, "cache": cache, "micro_batch": rows, "threads": threads}
    for dtype, cache, rows, threads in (
        ("bfloat16", "static", 256, 1),
        ("bfloat16", "static", 64, 1),
        ("bfloat16", None, 64, 1),
        ("float32", "static", 64, 1),
        ("bfloat16", "static", 64, 2),
    )
]
# The GRPO-like arm learns from all samples of all prompts, as GRPOTrainer does.
GRPO = {"trainer": "ours", "arm": "shaping", "kl": 0.0, "reward_rows": "all"}
OURS: list[dict[str, Any]] = [
    GRPO | {"sampler_dtype": sampler, "dtype": trainer, "threads": threads}
    for sampler, trainer, threads in (
        ("bfloat16", "bfloat16", 1), ("float32", "bfloat16", 1), ("float32", "float32", 1), ("bfloat16", "bfloat16", 2)
    )
]  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "all samples, no KL (GRPO)": {},
    "OREAL": {"arm": "oreal", "kl": 0.01},
    "OREAL, reward model on kept answers": {"arm": "oreal", "kl": 0.01, "reward_rows": "kept"},
    "OREAL without a token reward model": {"arm": "cloning", "kl": 0.01},
}


class Contender:
    """A process that takes one iteration whenever it is told to."""

    def __init__(self, folder: Path, setting: dict[str, Any]) -> None:
        self.log = folder / "contenders.log"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-W", "ignore", "-m", "tests.benchmarks.reinforcement_contenders"),
                *(str(folder), json.dumps(setting)),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("a"), text=True,
        )  # fmt: skip

    def iterate(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("iteration "):
                found: dict[str, Any] = json.loads(line.removeprefix("iteration "))
                return found
        raise SystemExit(f"a contender ended: {self.log.read_text()[-2000:]}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def describe(setting: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in setting.items())


def best(folder: Path, settings: list[dict[str, Any]]) -> dict[str, Any]:
    """The setting with the fastest iteration after a warm-up."""
    taken = []
    for setting in settings:
        contender = Contender(folder, setting)
        contender.iterate()
        taken.append(min(contender.iterate()["seconds"] for _ in range(2)))
        contender.close()
        click.echo(f"  {describe(setting)}: {SAMPLES / taken[-1]:,.0f} samples/s")
    return settings[int(np.argmin(taken))]


def show(name: str, found: list[dict[str, Any]]) -> None:
    """A contender's medians, and where its time goes."""
    parts = {part: median(each["parts"].get(part, 0.0) for each in found) for part in found[0]["parts"]}
    told = ", ".join(f"{part} {1000 * each:,.0f} ms" for part, each in parts.items())
    click.echo(
        f"{name}: {SAMPLES / median(each['seconds'] for each in found):,.0f} samples/s; "
        f"{median(each['length'] for each in found):.1f} tokens a sample, {median(each['learned'] for each in found)} "
        f"of {SAMPLES} learned from; {told}"
    )


def occupancy(policy: Path, rows: pl.DataFrame, tokens: float) -> str:
    """FastMCTS over the problems, each with the tokens of so many samples; the engine's mean occupancy."""
    import torch

    from assets.fastmcts.codec import ChatCodec
    from assets.fastmcts.run import run_search
    from assets.fastmcts.search import Problem, Settings
    from assets.fastmcts.tree import Rule
    from models.inference.torch_engine import TorchEngine

    budget = round(SEARCH_SOLUTIONS * tokens)
    problems = [
        Problem(name, question, gold, "exact", budget)
        for name, question, gold in rows.select("id", "question", "gold_answer").iter_rows()
    ]
    engine, codec = TorchEngine(policy, dtype=torch.bfloat16), ChatCodec(policy, "\n")
    settings = Settings(Rule(), MAX_NEW_TOKENS)
    with tempfile.TemporaryDirectory() as work:
        cost = run_search(engine, codec, problems, settings, work=Path(work), label="search").cost()
    return ", ".join(f"{name} {value:,}" for name, value in cost.items())


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True)
@click.option("--policy-steps", default=170, show_default=True, help="Steps of fine-tuning before.")
def main(rounds: int, policy_steps: int) -> None:
    click.echo(conditions("torch", "transformers", "trl"))
    rows = draw_rows()
    asked, searched, learned = rows[:RL], rows[RL : RL + SEARCH], rows[RL + SEARCH :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_policy(folder, learned, policy_steps, threads=1)
        fitting(asked, pass_rates(folder / "model", asked), PROMPTS).write_parquet(folder / "prompts.parquet")
        peer, setting = best(folder, PEERS), best(folder, OURS)
        chosen = {name: setting | change for name, change in VARIANTS.items()} | {"TRL": peer}
        contenders = {name: Contender(folder, each) for name, each in chosen.items()}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for contender in contenders.values():
            contender.iterate()
        for round_ in range(rounds):
            for name in list(contenders)[:: 1 if round_ % 2 == 0 else -1]:
                found[name].append(contenders[name].iterate())
        for contender in contenders.values():
            contender.close()
        for name, each in chosen.items():
            click.echo(f"[{describe(each)}]")
            show(name, found[name])
        length = median(each["length"] for each in found["TRL"])
        click.echo(f"search: {occupancy(folder / 'model', searched, length)}")
    click.echo(conditions("torch"))
    for name in VARIANTS:
        ratios = [theirs["seconds"] / own["seconds"] for theirs, own in zip(found["TRL"], found[name], strict=True)]
        speeds = [f"{SAMPLES / median(each['seconds'] for each in found[key]):,.0f} samples/s" for key in (name, "TRL")]
        line = closing_line(f"reinforcement, {name}", median(ratios), speeds[0], f"GRPOTrainer's {speeds[1]}")
        click.echo(f"{line}, in rounds {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
