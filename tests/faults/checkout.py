"""The real command, run from a copy of the checkout: an edit while a test runs would change fingerprints."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from assets.core.home import CHECKOUT
from assets.core.lake import Lake

COPIED = ("orchestration", "assets", "models", "dbt_project", "pyproject.toml")
COMMAND = "from orchestration.cli import main; main()"
DOCUMENTS = 150
BROKEN = ('{"text": "cut off', "[1, 2]", '{"other": "field"}', '{"text": 7}')
# Far above what is needed: a busy machine must not fail a test.
LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def states(self) -> dict[str, str]:
        """Asset to `built` or `reused`, from the lines that are printed as assets are done."""
        return {asset: state for state, asset in re.findall(r"\b(built|reused) +([\w/@.-]+): ", self.err)}

    @property
    def built(self) -> set[str]:
        return {asset for asset, state in self.states.items() if state == "built"}


class Checkout:
    """A copy of the packages, and commands run from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source = CHECKOUT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "logs")
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy(source, folder / name)

    def start(self, home: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """`athanor <arguments>` in a process group of its own."""
        ours = ("ATHANOR", "DAGSTER", "MLFLOW")  # MLflow exports the store that a test in this process chose
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment = (
            inherited | {"PYTHONPATH": str(self.folder), "ATHANOR_HOME": str(home), "COLUMNS": "200"} | variables
        )
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], cwd=self.folder, env=environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, home: Path, *arguments: str, **variables: str) -> Done:
        """`athanor <arguments>` to its end."""
        started = time.monotonic()
        return finish(self.start(home, *arguments, **variables), started)

    def digests(self, home: Path) -> str:
        return self.run(home, "digests").out

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        assert path.read_text().count(old) == 1, f"{name} has changed: adapt this test"
        path.write_text(path.read_text().replace(old, new))


def finish(process: subprocess.Popen[str], started: float) -> Done:
    try:
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    except BaseException:
        kill(process)
        raise
    return Done(process.returncode, out, err, time.monotonic() - started)


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9 of a process and all it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def write_corpus(folder: Path) -> None:
    """Documents of three topics of unequal size, and four lines that are none."""
    rng = random.Random(0)
    topics = [[name + one + two for one in "abcdefgh" for two in "klmno"] for name in ("gold", "salt", "iron")]
    folder.mkdir(parents=True)
    for file in range(3):
        lines = []
        for number in range(DOCUMENTS // 3):
            words = rng.choices(rng.choices(topics, [6, 3, 1])[0], k=rng.randint(25, 60))
            lines.append(json.dumps({"text": " ".join(words) + f" {file} {number}."}))
        (folder / f"{file}.jsonl").write_text("\n".join(lines + (list(BROKEN) if file == 1 else [])) + "\n")


def tiny_config(corpus: Path) -> dict[str, Any]:
    """The tiny preset with models, problems and a corpus that take seconds; of what they learn nothing is asked."""
    from orchestration.presets import PRESETS, run_config

    config = run_config(PRESETS["tiny"])
    for name, section in config["ops"].items():
        values = section["config"]
        if "checkpoint" in name:
            values |= {"dim": 64, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1, "ffn_dim": 64, "max_length": 64}
            values |= {"checkpoint_every": 5}
    config["ops"]["corpora__files"]["config"]["path"] = str(corpus)
    config["ops"]["clusterclip__embeddings"]["config"]["dim"] = 16
    config["ops"]["internlm2__tokenizer"]["config"]["vocab_size"] = 400
    config["ops"]["clusterclip__clusters"]["config"] |= {"heldout_min": 3, "skew": 0.0}
    plan = {"sequence_length": 64, "batch_rows": 8, "epochs": 1.5, "clip_threshold": 3}
    config["ops"]["clusterclip__sampling_plan"]["config"] |= plan
    for name, values in TINY_OREAL.items():
        config["ops"][name]["config"] |= values
    return config


TINY_OREAL: dict[str, dict[str, Any]] = {
    "worlds__chain_arith": {
        "min_operations": 2, "max_operations": 2, "n_sft": 800, "n_rl": 120, "n_search": 20,
        "n_valid": 40, "n_test": 40,
    },
    "oreal__sft_policy": {
        "dim": 64, "n_layers": 2, "n_heads": 2, "ffn_dim": 128, "steps": 150, "select_every": 50, "n_problems": 20,
        "n_samples": 4, "max_new_tokens": 32, "accuracy_low": 0.3, "accuracy_high": 0.5, "min_informative": 0.0,
    },
    "oreal__initial_rollouts": {"n_samples": 4, "n_problems": 100, "max_new_tokens": 32},
    "oreal__prompts": {"min_informative": 0.0},
    "oreal__token_reward_model": {"steps": 60, "peak_lr": 3e-3, "min_mean_weight": 0.0},
    "oreal__policy__oreal": {
        "iterations": 2, "prompts_per_iteration": 32, "n_samples": 4, "max_new_tokens": 32, "n_valid": 20,
        "evaluate_every": 1, "min_ended": 0.0,
    },
    **{f"oreal__scores__{arm}": {"n_problems": 40, "n_samples": 4, "max_new_tokens": 32} for arm in ("sft", "oreal")},
    "oreal__sft_champion": {"n_problems": 40, "max_new_tokens": 32},
    "oreal__champion": {"n_problems": 40, "max_new_tokens": 32, "least_gain": -1.0},
}  # fmt: skip


def write_config(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def open_lake(home: Path) -> Lake:
    return Lake(str(home / "lake"), home / "work")


def published(home: Path) -> dict[str, float]:
    """When each current dataset was published."""
    found = (dataset.manifest for dataset in open_lake(home).datasets())
    return {f"{manifest.key}@{manifest.partition}": manifest.published for manifest in found}
