"""What a person is told when a run ends early: one line with the remedy, and an exit code."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from models.training.checkpoint import ResumeRefused
from models.training.plan import TrainingFailed, TrainingStopped

FAILED, STOPPED = 1, 128 + signal.SIGTERM


@dataclass
class Outcome:
    """The exit code, and what was told."""

    code: int = 0
    message: str = ""
    error: BaseException | None = None


@contextmanager
def told() -> Iterator[Outcome]:
    """Turns the known ways of ending early into an exit code; anything else is a fault of ours and keeps its trace."""
    outcome = Outcome()
    try:
        yield outcome
    except TrainingStopped as error:
        outcome.code, outcome.message, outcome.error = STOPPED, str(error), error
    except (ValueError, OSError, ResumeRefused, TrainingFailed) as error:
        outcome.code, outcome.message, outcome.error = FAILED, f"error: {error}", error
    except torch.OutOfMemoryError as error:
        remedy = "raise plan.accumulation, start more processes with a higher zero_stage, or set offload_optimizer"
        outcome.code, outcome.error = FAILED, error
        outcome.message = f"error: out of memory on the GPU ({str(error).splitlines()[0]}); {remedy}"
    if outcome.message:
        rank = f"rank {os.environ['RANK']}: " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
        print(f"{rank}{outcome.message}", file=sys.stderr, flush=True)
