"""Metrics of a run as JSON lines, one per step, whole after any kill and resume."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.training.plan import StepRecord

METRICS_FILE = "metrics.jsonl"


class MetricsFile:
    """Call it with every step. What an earlier process wrote of steps that are taken again is dropped first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ready = False

    def __call__(self, record: StepRecord) -> None:
        if not self._ready:
            self._keep_before(record.step)
            self._ready = True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")

    def _keep_before(self, step: int) -> None:
        kept = [line for line in read_metrics(self.path) if line["step"] < step]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(f".{os.getpid()}")
        unfinished.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        unfinished.replace(self.path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The steps in a metrics file, none when there is no file; a line that a kill cut off is left out."""
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
