"""The learning rate of each step, as a share of the peak.

Every schedule rises linearly to 1 at step `warmup_steps` - 1, and has `min_fraction` at the last step unless it is
constant. A single step after the warm-up is taken at the peak. Steps count from 0.
"""

import math
from collections.abc import Callable


def cosine(step: int, steps: int, warmup_steps: int, min_fraction: float, decay_share: float = 0.0) -> float:
    """Half a cosine from 1 down to `min_fraction` (InternLM2, arXiv 2403.17297, section 3.3: cosine to 10 %)."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return min_fraction + (1 - min_fraction) * (1 + math.cos(math.pi * _progress(step, steps, warmup_steps))) / 2


def linear(step: int, steps: int, warmup_steps: int, min_fraction: float, decay_share: float = 0.0) -> float:
    """A straight line from 1 down to `min_fraction`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 1 - (1 - min_fraction) * _progress(step, steps, warmup_steps)


def constant(step: int, steps: int, warmup_steps: int, min_fraction: float = 1.0, decay_share: float = 0.0) -> float:
    """1 after the warm-up."""
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


def warmup_stable_decay(step: int, steps: int, warmup_steps: int, min_fraction: float, decay_share: float) -> float:
    """1 until the last `decay_share` of the steps, then a straight line (MiniCPM, arXiv 2404.06395, section 4)."""
    decay_begins = max(warmup_steps, steps - round(decay_share * steps))
    if step < decay_begins:
        return constant(step, steps, warmup_steps)
    return 1 - (1 - min_fraction) * (step - decay_begins + 1) / (steps - decay_begins)


def _progress(step: int, steps: int, warmup_steps: int) -> float:
    return (step - warmup_steps) / max(1, steps - 1 - warmup_steps)


SCHEDULES: dict[str, Callable[[int, int, int, float, float], float]] = {
    "cosine": cosine,
    "linear": linear,
    "constant": constant,
    "warmup_stable_decay": warmup_stable_decay,
}
