"""What stops a run: a loss that went wrong, or a request to end."""

import json
import math
import signal
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from models.training.plan import TrainingFailed

RECENT = 20
EVIDENCE_FILE = "failed-batch.json"


def require_healthy(
    step: int,
    loss: float,
    grad_norm: float,
    before: list[float],
    max_rise: float | None,
    row_ids: Callable[[], list[str]],
    to: Path,
) -> None:
    """Raises TrainingFailed for a loss or gradient that is not finite, or a loss that rose beyond the bound.

    `before` are the losses of the earlier steps. `row_ids` is asked for the rows of the batch only then, and they are
    saved in `to`/failed-batch.json first.
    """
    recent = statistics.fmean(before[-RECENT:]) if before else math.inf
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        cause = "is not finite"
    elif max_rise is not None and len(before) >= RECENT and loss > max_rise * recent:
        cause = f"is above {max_rise} times the mean of the last {RECENT}, {recent:.4g}"
    else:
        return
    to.mkdir(parents=True, exist_ok=True)
    rows = row_ids()
    evidence = {"step": step, "loss": loss, "grad_norm": grad_norm, "losses_before": before[-RECENT:], "rows": rows}
    (to / EVIDENCE_FILE).write_text(json.dumps(evidence, indent=1))
    raise TrainingFailed(
        f"step {step}: loss {loss:.4g} with gradient norm {grad_norm:.4g} {cause}; the {len(rows)} rows of the "
        f"batch are named in {to / EVIDENCE_FILE}. Look at them, lower peak_lr or lengthen the warm-up"
    )


class StopRequest:
    """Whether the process was asked to end, and by which signal."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


@contextmanager
def listening_for_stop() -> Iterator[StopRequest]:
    """Notes SIGTERM instead of dying of it, and puts the caller's handler back.

    Only the main thread may set handlers; elsewhere the request is never set, and who owns the main thread decides.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.signal(signal.SIGTERM, request)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
